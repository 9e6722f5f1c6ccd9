"""Writers at once: 8 processes lose and double nothing, and a writer that takes no lock is noticed."""

import multiprocessing
import threading
from pathlib import Path

import lance
import pytest

from tests.factories import synthetic_episode
from tests.lake.test_kill import check_whole
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import write_episodes
from worldvla.lake.store import Lake

WRITERS = 8
SHARED = range(12)
COMMIT = Commit("run-1", "iteration_record", "demo", "0001", "7")


def own(writer: int) -> range:
    return range(100 * (writer + 1), 100 * (writer + 1) + 6)


def record(root: str, writer: int, barrier) -> None:
    episodes = [synthetic_episode(seed) for seed in (*SHARED, *own(writer))]
    barrier.wait()
    write_episodes(Lake(Path(root)), episodes, Commit(f"run-{writer}", "demonstrations"), batch=3)


@pytest.mark.slow
def test_8_processes_that_write_the_same_and_different_episodes_lose_and_double_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(WRITERS)
    writers = [context.Process(target=record, args=(str(tmp_path), number, barrier)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
        assert writer.exitcode == 0
    lake = Lake(tmp_path)
    seeds = [*SHARED, *(seed for writer in range(WRITERS) for seed in own(writer))]
    wanted = [synthetic_episode(seed).episode_id for seed in seeds]
    assert check_whole(lake, wanted) == len(wanted)
    assert lake.read("frames", ["step"]).num_rows == 9 * len(wanted)
    runs = {
        lake.open("episodes").read_transaction(version).transaction_properties["run_id"]
        for version in range(2, lake.version("episodes") + 1)
    }
    assert runs == {f"run-{number}" for number in range(WRITERS)}


def test_an_upsert_and_a_deletion_go_through_beside_a_writer_without_the_lock(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.upsert("iterations", [row(number) for number in range(4)], COMMIT)
    stop = threading.Event()

    def meddle() -> None:
        while not stop.is_set():
            lance.dataset(lake.path("iterations")).update({"real_steps": "real_steps + 1"}, where="iteration = '0003'")

    meddler = threading.Thread(target=meddle)
    meddler.start()
    try:
        for number in range(10):
            lake.upsert("iterations", [row(0) | {"imagined_steps": number}], COMMIT)
        version = lake.delete("iterations", "iteration = '0001'", COMMIT)
    finally:
        stop.set()
        meddler.join()
    assert lake.open("iterations").read_transaction(version).transaction_properties == COMMIT.properties()
    found = {one["iteration"]: one for one in lake.read("iterations").to_pylist()}
    assert set(found) == {"0000", "0002", "0003"} and lake.read("iterations").num_rows == 3
    assert found["0000"]["imagined_steps"] == 9 and found["0003"]["real_steps"] > 3


def row(number: int) -> dict:
    return {"campaign": "demo", "iteration": f"{number:04d}", "real_steps": number}
