"""Runs whose process was killed, and the pool slots that they would keep for ever.

A killed process cannot say that its run is over: Dagster shows the run as started, and the
next run waits for the pool slot that the dead one holds. A process that executes a run
therefore holds a lock file that the run names in a tag; the kernel lets go of the lock when
the process ends, however it ends.
"""

import fcntl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

TAG = "worldvla/process"
UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@contextmanager
def this_process(instance: dg.DagsterInstance) -> Iterator[dict[str, str]]:
    """The tag that marks runs as this process's, for as long as it lives."""
    name = uuid.uuid4().hex
    path = _lock_file(instance, name)
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield {TAG: name}
        finally:
            path.unlink()


def settle_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Marks the runs of ended processes as failed and frees their pool slots; returns their ids."""
    settled = []
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        name = run.tags.get(TAG)
        if name is None or _lives(_lock_file(instance, name)):
            continue
        instance.report_run_failed(run, "The process that executed this run ended before the run did.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        _lock_file(instance, name).unlink(missing_ok=True)
        settled.append(run.run_id)
    return settled


def _lives(path: Path) -> bool:
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _lock_file(instance: dg.DagsterInstance, name: str) -> Path:
    return Path(instance.root_directory) / "processes" / f"{name}.lock"
