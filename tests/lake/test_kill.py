"""Kills a writer at random moments: what it leaves behind is whole, and running it again completes it."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

from tests.factories import synthetic_episode
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import existing, load_bank, write_episodes, write_set
from worldvla.lake.store import Lake

COMMIT = Commit("run", "demonstrations", "demo")
EPISODES = 60


def record(root: str) -> None:
    episodes = (synthetic_episode(seed) for seed in range(EPISODES))
    lake = Lake(Path(root))
    write_set(lake, write_episodes(lake, episodes, COMMIT, batch=2), COMMIT)


def check_whole(lake: Lake, wanted: list[str]) -> int:
    """Every visible episode is there once, with each of its frames once; returns how many there are."""
    ids = lake.read("episodes", ["episode_id"])["episode_id"].to_pylist()
    assert len(set(ids)) == len(ids)
    assert set(ids) <= set(wanted)
    frames = lake.read("frames", ["episode_id", "step"]).to_pylist()
    assert len({(row["episode_id"], row["step"]) for row in frames}) == len(frames)
    assert len(frames) % 9 == 0
    load_bank(lake, ids, 8)
    return len(ids)


def test_a_killed_writer_leaves_no_half_episode_and_completes_when_run_again(tmp_path: Path) -> None:
    wanted = [synthetic_episode(seed).episode_id for seed in range(EPISODES)]
    lake = Lake(tmp_path)
    context = multiprocessing.get_context("spawn")
    chance = random.Random(0)
    partial = 0
    for _ in range(6):
        before = check_whole(lake, wanted)
        writer = context.Process(target=record, args=(str(tmp_path),))
        writer.start()
        # Kill only once it writes: somewhere within its next few commits.
        target = lake.version("frames") + chance.randrange(1, 6)
        deadline = time.monotonic() + 60
        while writer.is_alive() and lake.version("frames") < target and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.02))
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        assert writer.exitcode == -signal.SIGKILL
        partial += before < check_whole(lake, wanted) < EPISODES
    assert partial >= 3
    assert lake.read("episode_sets").num_rows == 0
    record(str(tmp_path))
    assert check_whole(lake, wanted) == EPISODES == len(existing(lake, wanted))
    assert lake.read("episode_sets").num_rows == EPISODES
