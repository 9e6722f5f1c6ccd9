"""One Dagster instance a module, with a queue as the project's has, emptied for every test."""

from collections.abc import Iterator

import dagster as dg
import pytest

QUEUE = {"run_coordinator": {"module": "dagster.core.run_coordinator", "class": "QueuedRunCoordinator"}}


@pytest.fixture(scope="module")
def module_instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(overrides=QUEUE) as instance:
        yield instance


@pytest.fixture
def instance(module_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    module_instance.wipe()
    module_instance.schedule_storage.wipe()
    module_instance.wipe_daemon_heartbeats()
    return module_instance
