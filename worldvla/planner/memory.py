"""Python's cycle collector, held back while a hundred thousand small objects are made that all stay."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Makes no difference but in time: each collection would walk all that was made so far and find nothing to free."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def collector_off() -> None:
    """For a process that answers one question and ends: nothing is collected, not at its end either."""
    gc.disable()
    atexit.register(gc.freeze)
