import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest

from tests.exchange.exporting.exported import export_sans, originals, pictures_of
from tests.factories import seldom_drawn, synthetic_episode
from worldvla.episodes.episode import Source
from worldvla.errors import UserError
from worldvla.exchange.exporting import parquet
from worldvla.exchange.exporting.pictures import decoded
from worldvla.exchange.exporting.run import Video, make_writer
from worldvla.lake.episodes import assembled
from worldvla.lake.faults import is_full
from worldvla.lake.store import Lake


@pytest.mark.parametrize("file_bytes", [parquet.FILE_BYTES, 1])
def test_parquet_gives_back_every_episode_to_the_byte(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_bytes: int
) -> None:
    monkeypatch.setattr(parquet, "FILE_BYTES", file_bytes)
    done = export_sans(lake, "parquet", tmp_path / "set")
    rows = pl.read_parquet(tmp_path / "set" / "episodes.parquet").to_dicts()
    frames = pl.read_parquet(tmp_path / "set" / "frames-*.parquet")
    assert len(list((tmp_path / "set").glob("frames-*"))) == (1 if file_bytes > 1 else 15)
    assert (done.episodes, done.frames) == (len(rows), len(frames)) == (15, 135)
    back = [assembled(row, frames.filter(pl.col("episode_id") == row["episode_id"])) for row in rows]
    assert [one.content_digest for one in back] == [row["content_digest"] for row in rows]
    assert [one.episode_id for one in back] == [one.episode_id for one in originals(lake)]
    assert {"sans", "label", "split", "asset", "campaign", "iteration"} <= rows[0].keys()


def test_hdf5_has_robomimics_layout_and_loses_no_number(lake: Lake, tmp_path: Path) -> None:
    export_sans(lake, "hdf5", tmp_path / "set")
    episodes = originals(lake)
    with h5py.File(tmp_path / "set" / "PushCube-v1_demo.hdf5") as file:
        data = file["data"]
        assert data.attrs["total"] == sum(one.length for one in episodes)
        assert sorted(data) == sorted(f"demo_{number}" for number in range(len(episodes)))
        for number, episode in enumerate(episodes):
            demo = data[f"demo_{number}"]
            length = episode.length
            assert demo.attrs["num_samples"] == length == len(demo["actions"]) == len(demo["obs/agentview_rgb"])
            np.testing.assert_array_equal(demo["actions"], episode.actions)
            np.testing.assert_array_equal(demo["rewards"], episode.reward[1:])
            assert demo["dones"][-1] == 1
            proprio = np.concatenate([demo["obs/proprio"], demo["worldvla/proprio"][()][None]])
            np.testing.assert_array_equal(proprio, episode.proprio)
            pictures = np.concatenate([demo["obs/agentview_rgb"], demo["worldvla/agentview_rgb"][()][None]])
            np.testing.assert_array_equal(pictures, pictures_of(episode))
            np.testing.assert_array_equal(demo["worldvla/reward"], episode.reward)
            np.testing.assert_array_equal(demo["worldvla/progress"], episode.progress)
            np.testing.assert_array_equal(demo["worldvla/initial_state"], episode.initial_state)
            assert (demo.attrs["episode_id"], demo.attrs["seed"]) == (episode.episode_id, episode.seed)
            assert demo.attrs["sans"] == "demo/0001"
        assert [name.decode() for name in file["mask/train"]] == [f"demo_{n}" for n in range(len(episodes))]


def test_a_picture_stays_until_the_next_one_was_drawn() -> None:
    whole = synthetic_episode(1, length=8)
    pictures = decoded(seldom_drawn(whole, 4))
    np.testing.assert_array_equal(pictures, pictures_of(whole)[[0, 0, 0, 0, 4, 4, 4, 4, 8]])


def test_hdf5_keeps_tasks_of_one_name_in_two_suites_apart(tmp_path: Path) -> None:
    from dataclasses import replace

    writer = make_writer("hdf5", tmp_path, Video())
    for suite in ("one", "two"):
        writer.add(replace(synthetic_episode(1), suite=suite), {"split": None})
    writer.finish()
    writer.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["PushCube-v1_demo.hdf5", "two_PushCube-v1_demo.hdf5"]


def test_hdf5_has_a_file_of_a_task_however_long_its_name(tmp_path: Path) -> None:
    writer = make_writer("hdf5", tmp_path, Video())
    for seed, task in enumerate(("x" * 300, "x" * 299 + "y")):
        writer.add(synthetic_episode(seed, task=task), {"episode_id": "a"})
    writer.finish()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("written", [0, 1])
def test_hdf5_stops_before_there_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    """Were it the library that found out, the process would end by a signal, without a word."""
    writer = make_writer("hdf5", tmp_path / "set", Video())
    (tmp_path / "set").mkdir()
    for seed in range(written):
        writer.add(synthetic_episode(seed), {"episode_id": "a", "split": "train"})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**30, 2**30 - 2**19, 2**19))
    with pytest.raises(OSError, match="No space left on device") as full:
        writer.add(synthetic_episode(9), {"episode_id": "b"}) if not written else writer.finish()
    assert is_full(full.value)


def test_hdf5_leaves_no_file_open_however_many_tasks_there_are(tmp_path: Path) -> None:
    writer = make_writer("hdf5", tmp_path, Video())
    for number in range(12):
        writer.add(synthetic_episode(1, task=f"task-{number}", images=False), {"split": "train"})
        opened = [os.readlink(one) for one in Path("/proc/self/fd").iterdir() if one.exists()]
        assert not [one for one in opened if one.endswith("_demo.hdf5")]
    writer.finish()
    assert len(list(tmp_path.iterdir())) == 12


def test_hdf5_says_what_robomimic_asks_and_one_rate(tmp_path: Path) -> None:
    from dataclasses import replace

    writer = make_writer("hdf5", tmp_path, Video())
    one, other = synthetic_episode(1), synthetic_episode(2)
    writer.add(replace(one, settings={"fps": 10}), {})
    with pytest.raises(UserError, match="PushCube-v1 has frames/s 15, others of its file 10: .* export them apart"):
        writer.add(replace(other, settings={"fps": 15}), {})
    writer.add(replace(other, suite="libero_goal"), {})
    types = [
        json.loads(h5py.File(tmp_path / f"{name}_demo.hdf5")["data"].attrs["env_args"])["type"]
        for name in ("PushCube-v1", "libero_goal_PushCube-v1")
    ]
    assert types == [2, 1]


def test_hdf5_takes_a_simulators_rate_for_what_it_is(tmp_path: Path) -> None:
    from dataclasses import replace

    writer = make_writer("hdf5", tmp_path, Video())
    writer.add(synthetic_episode(1), {})
    writer.add(replace(synthetic_episode(2), source=Source.IMPORT, settings={"fps": 20.0}), {})
    with pytest.raises(UserError, match="frames/s none, others of its file 20"):
        writer.add(replace(synthetic_episode(3), source=Source.IMPORT), {})
    with h5py.File(tmp_path / "PushCube-v1_demo.hdf5") as file:
        assert sorted(file["data"]) == ["demo_0", "demo_1"]
        assert json.loads(file["data"].attrs["env_args"])["env_kwargs"] == {"control_freq": 20}


@pytest.mark.parametrize(
    ("unlike", "told"),
    [
        ({"size": 32}, r"pictures of \(32, 32, 3\), others of its file \(16, 16, 3\)"),
        ({"images": False}, r"pictures of none, others of its file \(16, 16, 3\)"),
    ],
)
def test_hdf5_has_pictures_of_one_shape_in_a_file(tmp_path: Path, unlike: dict, told: str) -> None:
    from dataclasses import replace

    writer = make_writer("hdf5", tmp_path, Video())
    writer.add(synthetic_episode(1), {})
    with pytest.raises(UserError, match=told):
        writer.add(synthetic_episode(2, **unlike), {})
    wide = replace(synthetic_episode(3), proprio=np.zeros((9, 7), np.float32))
    with pytest.raises(UserError, match=r"proprioception of \(7,\), others of its file \(5,\)"):
        writer.add(wide, {})


def test_hdf5_of_episodes_without_pictures_has_none(tmp_path: Path) -> None:
    writer = make_writer("hdf5", tmp_path, Video())
    writer.add(synthetic_episode(1, images=False), {})
    writer.close()
    with h5py.File(tmp_path / "PushCube-v1_demo.hdf5") as file:
        assert sorted(file["data/demo_0/obs"]) == ["proprio"]
