"""Runs whose process was killed, and the pool slots that they would keep for ever.

A killed process cannot say that its run is over: Dagster shows the run as started, and the
next run waits for the pool slot that the dead one holds. A process that executes a run
therefore holds a lock file that the run names in a tag; the kernel lets go of the lock when
the process ends, however it ends. Another machine cannot see that lock, so in an instance
that several share each judges only the runs that it started itself.

Runs that the Dagster server executes have no such lock: the server's own processes notice when one dies. What died
together with them, at a power cut, is settled before the next server starts: `python -m pipelines.dead_runs`.
"""

import fcntl
import json
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError, DagsterUserCodeUnreachableTimeoutError
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

ANSWER_SECONDS = 10
TAG = "worldvla/process"
PLACE_TAG = "worldvla/started_at"
UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@contextmanager
def this_process(instance: dg.DagsterInstance) -> Iterator[dict[str, str]]:
    """The tags that mark runs as this process's, for as long as it lives."""
    name = uuid.uuid4().hex
    path = _lock_file(instance, name)
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield {TAG: name, PLACE_TAG: _place(instance)}
        finally:
            path.unlink()


def settle_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Marks the runs of this machine's ended processes as failed and frees their pool slots; returns their ids."""
    settled = []
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, tags={PLACE_TAG: _place(instance)})):
        name = run.tags.get(TAG)
        if name is None or _lives(_lock_file(instance, name)):
            continue
        instance.report_run_failed(run, "The process that executed this run ended before the run did.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        _lock_file(instance, name).unlink(missing_ok=True)
        settled.append(run.run_id)
    return settled


def settle_served_runs(instance: dg.DagsterInstance) -> list[str]:
    """Marks the runs that a server before this one executed as failed and frees their pool slots; returns their ids.

    For a server that is about to start and is the only one of the instance. Its daemon starts each of them again, once
    (`run_retries`); what was queued stays queued. A code server outlives its web server and daemon until its runs have
    ended: what such a one still executes is left to it.
    """
    settled = []
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        if TAG not in run.tags and not is_executed(run):
            instance.report_run_failed(run, "The server that executed this run ended before the run did.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            settled.append(run.run_id)
    return settled


def is_executed(run: dg.DagsterRun) -> bool:
    """Whether the code server that was given the run is there and at work on it."""
    if GRPC_INFO_TAG not in run.tags:
        return False
    where = json.loads(run.tags[GRPC_INFO_TAG])
    client = DagsterGrpcClient(where.get("port"), where.get("socket"), where.get("host") or "localhost")
    try:
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=ANSWER_SECONDS)
    except DagsterUserCodeUnreachableTimeoutError:
        return True  # it is there, and busy
    except DagsterUserCodeUnreachableError:
        return False
    return deserialize_value(answer, CanCancelExecutionResult).can_cancel


def _place(instance: dg.DagsterInstance) -> str:
    """Where this process's lock files are: the machine and the folder."""
    return f"{socket.gethostname()}:{instance.root_directory}"


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


if __name__ == "__main__":
    from pipelines.instance import open_instance
    from worldvla.errors import told

    with told(), open_instance() as opened:
        for run_id in (*settle_dead_runs(opened), *settle_served_runs(opened)):
            print(f"run {run_id} had not ended when its process did: it counts as failed now")
