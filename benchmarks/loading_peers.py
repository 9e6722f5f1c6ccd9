"""The peers of `benchmarks.loading`, run by the Python of their own environment; imports nothing of this project.

    python loading_peers.py build KIND DATA OUT [QUALITY]   prints JSON: ingest, frames a second of processor time, PSNR
    python loading_peers.py quality KIND DATA OUT           prints JSON: PSNR of what is stored there
    python loading_peers.py read KIND DATA OUT              answers each line `STATE WORKERS SECONDS` with the windows
                                                            and seconds of at most an epoch

KIND: lerobot (Parquet and MP4; `build` writes with lerobot itself, as it does by default), h5py (a robomimic file,
built by `worldvla export hdf5`), swm-lance, swm-hdf5, swm-video (stable-worldmodel's writers and readers). All are read
through torch's DataLoader, shuffled, in batches of 32, by WORKERS processes.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

HISTORY, CHUNK, BATCH, FPS = 2, 8, 32, 20
CAMERA = "observation.images.front"
SOME = 400  # frames that quality is measured on


def sources(data: Path, name: str):
    """Frames, actions, proprioception of every episode; `name`: source.npy or stored.npy."""
    frames = np.load(data / name, mmap_mode="r", allow_pickle=False)
    with np.load(data / "numbers.npz", allow_pickle=False) as numbers:
        lengths, actions, proprio = numbers["lengths"], numbers["actions"], numbers["proprio"]
    ends = np.cumsum(lengths)
    for begin, end in zip(ends - lengths, ends, strict=True):
        yield np.array(frames[begin:end]), actions[begin:end], proprio[begin:end].astype(np.float32)


def processor_seconds() -> float:
    """Of this process and of those it has waited for: encoders run apart from it."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def psnr(data: Path, pictures: np.ndarray) -> float:
    """dB of the first pictures uint8 [n, H, W, 3] to what was rendered."""
    source = np.load(data / "source.npy", mmap_mode="r", allow_pickle=False)[: len(pictures)]
    error = np.mean((np.asarray(pictures, float) - source) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def build_lerobot(data: Path, out: Path) -> float:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    (_, actions, proprio), *_ = sources(data, "source.npy")
    features = {
        CAMERA: {"dtype": "video", "shape": (128, 128, 3), "names": ["height", "width", "channels"]},
        "observation.state": {"dtype": "float32", "shape": (proprio.shape[1],), "names": None},
        "action": {"dtype": "float32", "shape": (actions.shape[1],), "names": None},
    }
    begin = processor_seconds()
    dataset = LeRobotDataset.create("local/benchmark", FPS, features, root=out)
    count = 0
    for frames, acts, states in sources(data, "source.npy"):
        for frame, act, state in zip(frames, acts, states, strict=True):
            dataset.add_frame({CAMERA: frame, "observation.state": state, "action": act, "task": "move the cube"})
        dataset.save_episode()
        count += len(frames)
    dataset.finalize()
    return count / (processor_seconds() - begin)


def build_swm(kind: str, data: Path, out: Path, quality: int | None) -> float:
    import stable_worldmodel.data as swm
    from stable_worldmodel.data.formats import hdf5, lance, video

    del swm
    writers = {
        "swm-lance": lambda: lance.LanceWriter(out / "set.lance", jpeg_quality=quality),
        "swm-hdf5": lambda: hdf5.HDF5Writer(out / "set.h5"),
        "swm-video": lambda: video.VideoWriter(out / "set", fps=FPS),
    }
    out.mkdir(parents=True)
    # HDF5 stores pixels: the stored ones, so that its pictures are as good as ours and no better.
    name = "stored.npy" if kind == "swm-hdf5" else "source.npy"
    episodes = [{"pixels": list(f), "action": list(a), "proprio": list(p)} for f, a, p in sources(data, name)]
    begin = processor_seconds()
    with writers[kind]() as writer:
        if kind == "swm-lance":
            writer.write_episodes(episodes)
        else:
            for episode in episodes:
                writer.write_episode(episode)
    return sum(len(episode["pixels"]) for episode in episodes) / (processor_seconds() - begin)


class H5Windows(Dataset):
    """Windows of a robomimic file, read as its users do: one contiguous slice a window."""

    def __init__(self, path: Path):
        import h5py

        self.path = path
        self.file: Any = None  # opened where it is read: an open one does not go to a worker
        with h5py.File(path) as file:
            lengths = {name: demo.attrs["num_samples"] for name, demo in file["data"].items()}
        span = HISTORY - 1 + CHUNK + 1
        self.windows = [(name, start) for name, length in lengths.items() for start in range(length - span + 1)]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        import h5py

        self.file = self.file or h5py.File(self.path)
        name, start = self.windows[index]
        demo = self.file["data"][name]
        now = start + HISTORY - 1
        return {
            "pixels": torch.from_numpy(demo["obs/agentview_rgb"][start : start + HISTORY + CHUNK]),
            "action": torch.from_numpy(demo["actions"][now : now + CHUNK]),
        }


def opened(kind: str, out: Path):
    """The peer's own dataset of windows."""
    if kind.startswith("lerobot"):
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        around = [step / FPS for step in range(1 - HISTORY, CHUNK + 1)]
        windows = {CAMERA: around, "action": [step / FPS for step in range(CHUNK)]}
        return LeRobotDataset("local/benchmark", root=out, delta_timestamps=windows)
    if kind == "h5py":
        return torch.utils.data.ConcatDataset([H5Windows(path) for path in sorted(out.glob("*.hdf5"))])
    from stable_worldmodel.data.formats import hdf5, lance, video

    options = {"num_steps": HISTORY + CHUNK, "keys_to_load": ["pixels", "action"]}
    if kind == "swm-lance":
        return lance.LanceDataset(out / "set.lance", **options)
    if kind == "swm-hdf5":
        return hdf5.HDF5Dataset(path=out / "set.h5", **options)
    return video.VideoDataset(path=out / "set", video_keys=["pixels"], **options)


def quality(kind: str, data: Path, out: Path) -> float:
    """PSNR of the first frames, as the peer's reader gives them."""
    dataset = opened(kind, out)
    if kind.startswith("lerobot"):
        plain = type(dataset)("local/benchmark", root=out)
        pictures = np.stack([plain[i][CAMERA].numpy() for i in range(SOME)]).transpose(0, 2, 3, 1) * 255
        return psnr(data, pictures.round())
    episodes: list[np.ndarray] = []
    while sum(map(len, episodes)) < SOME:
        episodes.append(dataset.load_episode(len(episodes))["pixels"].numpy().transpose(0, 2, 3, 1))
    return psnr(data, np.concatenate(episodes))


def timed(batches, seconds: float) -> str:
    """Windows after the first batch, until there is no more or the time is over, and how long that took."""
    next(batches)
    begin, samples, now = time.perf_counter(), 0, 0.0
    for batch in batches:
        samples += len(batch["action"])
        now = time.perf_counter() - begin
        if now >= seconds:
            break
    return f"{samples} {now}"


def read(kind: str, out: Path) -> None:
    dataset = opened(kind, out)
    # Lance does not survive a fork. The others open their files in the worker.
    context = "spawn" if kind == "swm-lance" else "fork"
    options = {"persistent_workers": True, "multiprocessing_context": context}
    loaders = {}
    for workers in (1, 2):
        order = torch.Generator().manual_seed(0)
        loader = DataLoader(dataset, BATCH, shuffle=True, generator=order, num_workers=workers, **options)
        next(iter(loader))  # its workers have started
        loaders[workers] = loader
    print("ready", flush=True)
    for line in sys.stdin:
        _, workers, seconds = line.split()
        print(timed(iter(loaders[int(workers)]), float(seconds)), flush=True)


def main(what: str, kind: str, data: str, out: str, *rest: str) -> None:
    torch.set_num_threads(1)
    if what == "build":
        setting = int(rest[0]) if rest else None
        ingest = (
            build_lerobot(Path(data), Path(out))
            if kind == "lerobot"
            else build_swm(kind, Path(data), Path(out), setting)
        )
        print(json.dumps({"ingest": ingest, "psnr": quality(kind, Path(data), Path(out))}))
    elif what == "quality":
        print(json.dumps({"psnr": quality(kind, Path(data), Path(out))}))
    else:
        read(kind, Path(out))
    sys.stdout.flush()
    os._exit(0)  # persistent workers are not waited for


if __name__ == "__main__":
    main(*sys.argv[1:])
