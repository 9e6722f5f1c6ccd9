"""Every test runs in a home of its own session, on few threads, and with unhurried hypothesis."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before torch, polars or a simulator is imported; spawned workers inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "2")
# Threads that spin for long starve whatever shares the cores with them.
os.environ.setdefault("GOMP_SPINCOUNT", "0")
# What a shell starts in the background ignores Ctrl-C, and so would the commands that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("worldvla", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("worldvla")


@pytest.fixture(scope="session", autouse=True)
def worldvla_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`WORLDVLA_HOME` of the whole session: no test touches the checkout's `var/`."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLDVLA_HOME", str(home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield home


@pytest.fixture(autouse=True)
def own_tracking() -> Iterator[None]:
    """MLflow writes the address it was told into the environment, where the next test's commands would find it."""
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)
