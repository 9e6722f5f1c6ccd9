"""lerobot itself reads what is exported. It needs other versions of torch and NumPy than this project: an environment
of its own, named by an environment variable; without one these tests are skipped and say how to make it."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.loading_environment import HOW, PEERS
from tests.exchange.exporting.exported import CAMERA, filmed, pictures_of
from worldvla.exchange.exporting.run import Video, make_writer

READER = Path(__file__).parent / "read_with_lerobot.py"
# The mean difference of a value of a picture, of 255, that the codecs leave at the default quality.
TOLERANCE = 4.0
LANCE_PYTHON = os.environ.get("WORLDVLA_LEROBOT_LANCE_PYTHON")


def read(python: str | Path, kind: str, root: Path, home: Path) -> dict[str, np.ndarray]:
    out = home / "read.npz"
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home / "hf"), "HF_DATASETS_CACHE": str(home / "cache")}
    command = [str(python), str(READER), kind, str(root), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | offline)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(out) as file:
        return dict(file)


def check(tmp_path: Path, python: str | Path, kind: str, format_name: str, codec: str) -> None:
    """Every number equal, every picture within tolerance, windows and provenance in their places."""
    episodes = [filmed(seed, length=5 + seed) for seed in range(3)]
    root = tmp_path / "set"
    root.mkdir()
    writer = make_writer(format_name, root, Video(codec=codec))
    for episode in episodes:
        writer.add(episode, {"episode_id": episode.episode_id})
    writer.finish()
    writer.close()
    found = read(python, kind, root, tmp_path)
    acted = found["worldvla.acted"]
    np.testing.assert_array_equal(found["action"][acted], np.concatenate([one.actions for one in episodes]))
    for name in ("proprio", "reward", "progress"):
        column = "observation.state" if name == "proprio" else f"worldvla.{name}"
        np.testing.assert_array_equal(found[column], np.concatenate([getattr(one, name) for one in episodes]))
    assert found["task"].tolist() == [one.instruction for one in episodes for _ in range(one.length + 1)]
    pictures = np.concatenate([pictures_of(one) for one in episodes]).transpose(0, 3, 1, 2) / 255
    assert found[CAMERA].shape == pictures.shape
    assert np.abs(found[CAMERA] - pictures).mean(axis=(1, 2, 3)).max() < TOLERANCE / 255
    np.testing.assert_array_equal(found["window_action"], found["action"][3:7][[0, 1, 2, 2]])
    assert np.abs(found["window_image"] - pictures[3:7][[0, 1, 2, 2]]).mean() < TOLERANCE / 255
    assert found["episode_ids"].tolist() == [one.episode_id for one in episodes]
    np.testing.assert_allclose(found["mean_action"], found["action"].mean(0), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(PEERS is None, reason=f"no environment with lerobot: {HOW}")
@pytest.mark.parametrize("codec", ["h264", "av1"])
def test_lerobot_loads_what_is_exported(tmp_path: Path, codec: str) -> None:
    check(tmp_path, PEERS, "files", "lerobot", codec)


@pytest.mark.slow
@pytest.mark.skipif(
    LANCE_PYTHON is None,
    reason="WORLDVLA_LEROBOT_LANCE_PYTHON names no Python 3.12 with lerobot 0.6 and lerobot-lancedb 0.3 installed",
)
def test_lerobots_lance_reader_loads_what_is_exported(tmp_path: Path) -> None:
    check(tmp_path, LANCE_PYTHON, "lance", "lerobot-lance", "h264")
