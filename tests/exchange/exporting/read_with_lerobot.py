"""Run by the Python of an environment that has lerobot: reads a dataset with it and writes what it gave as NPZ.

python read_with_lerobot.py KIND ROOT OUT        KIND: files (Parquet and MP4) or lance
"""

import sys

import numpy as np


def main(kind: str, root: str, out: str) -> None:
    if kind == "files":
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        dataset = LeRobotDataset("local/exported", root=root)
    else:
        from lerobot_lancedb.reader import LanceDBDataset

        dataset = LanceDBDataset(repo_id="local/exported", root=root)
    items = [dataset[index] for index in range(len(dataset))]
    arrays = {name: np.stack([np.asarray(item[name]) for item in items]) for name in items[0]}
    windows = {"action": [step / dataset.meta.fps for step in range(-1, 3)]}
    windows["observation.images.front"] = windows["action"]
    reader = type(dataset)(repo_id="local/exported", root=root, delta_timestamps=windows)
    arrays["window_action"] = np.asarray(reader[4]["action"])
    arrays["window_image"] = np.asarray(reader[4]["observation.images.front"])
    arrays["episode_ids"] = np.array([str(one) for one in dataset.meta.episodes["worldvla/episode_id"]])
    arrays["mean_action"] = np.asarray(dataset.meta.stats["action"]["mean"])
    np.savez(out, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
