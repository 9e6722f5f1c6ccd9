"""A disk that fills up while the lake is written: what was there stays whole, and the error says what to do."""

import resource
from pathlib import Path

import pytest

from tests.factories import synthetic_episode
from tests.lake.small_disk import may_mount, small_disk
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import load_bank, write_episodes
from worldvla.lake.models import has_model, read_model, write_model
from worldvla.lake.store import Lake

COMMIT = Commit("run", "demonstrations", "demo")
EPISODES = [synthetic_episode(seed, length=30, size=64) for seed in range(12)]

needs_mount = pytest.mark.skipif(not may_mount(), reason="mounting a small file system needs root")


@needs_mount
def test_a_full_disk_leaves_whole_episodes_and_names_the_file_system(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", mebibytes=1) as grow:
        lake = Lake(tmp_path / "disk" / "lake")
        with pytest.raises(UserError) as raised:
            write_episodes(lake, EPISODES, COMMIT, batch=1)
        assert f"the file system {tmp_path / 'disk'} is full" in str(raised.value)
        assert "WORLDVLA_HOME" in str(raised.value)
        ids = lake.read("episodes", ["episode_id"])["episode_id"].to_pylist()
        assert 0 < len(ids) < len(EPISODES)
        load_bank(lake, ids, 8)
        grow(32)
        write_episodes(lake, EPISODES, COMMIT, batch=1)
        wanted = [episode.episode_id for episode in EPISODES]
        assert lake.read("episodes", ["episode_id"])["episode_id"].to_pylist() == wanted
        load_bank(lake, wanted, 8)
        frames = lake.read("frames", ["episode_id", "step"]).to_pylist()
        assert len(frames) == len({tuple(row.values()) for row in frames}) == 31 * len(EPISODES)


@needs_mount
def test_a_model_that_does_not_fit_is_not_there(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", mebibytes=1) as grow:
        lake = Lake(tmp_path / "disk" / "lake")
        small = write_model(lake, "judge", {}, b"small", {}, {}, None, None, COMMIT)
        version = lake.version("models")
        with pytest.raises(UserError, match="no room to write table models"):
            write_model(lake, "judge", {}, bytes(3_000_000), {}, {}, None, None, COMMIT)
        assert lake.version("models") == version
        assert read_model(lake, small).weights == b"small"
        grow(32)
        large = write_model(lake, "judge", {}, bytes(3_000_000), {}, {}, None, None, COMMIT)
        assert has_model(lake, large) and read_model(lake, large).weights == bytes(3_000_000)


def test_a_limit_on_files_is_told_from_a_full_disk(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    small = write_model(lake, "judge", {}, b"small", {}, {}, None, None, COMMIT)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(UserError, match="no room to write table models: the file system .* (is full|a limit)"):
            write_model(lake, "judge", {}, bytes(3_000_000), {}, {}, None, None, COMMIT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_model(lake, small).weights == b"small" and lake.read("models").num_rows == 1
    large = write_model(lake, "judge", {}, bytes(3_000_000), {}, {}, None, None, COMMIT)
    assert read_model(lake, large).weights == bytes(3_000_000)
