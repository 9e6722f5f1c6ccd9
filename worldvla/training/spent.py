"""How long a computation took that was killed and went on: the seconds of all attempts at it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from worldvla.whole_file import write_whole

EVERY_SECONDS = 10.0  # the most that a kill makes forget


@contextmanager
def spent(path: Path, every: float = EVERY_SECONDS) -> Iterator[Callable[[], float]]:
    """Gives a clock: seconds that this attempt has taken so far, and those that `path` holds of the attempts before.

    While the attempt lasts they are written to `path`, so that a killed one counts too. Whoever publishes what was
    computed removes the file. A file that cannot be read or written costs its seconds and never the computation.
    """
    begin, before = time.perf_counter(), _read(path)
    ended = threading.Event()

    def seconds() -> float:
        return before + time.perf_counter() - begin

    def keep() -> None:
        _write(path, seconds())
        while not ended.wait(every):
            _write(path, seconds())

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield seconds
    finally:
        ended.set()
        keeper.join()
        _write(path, seconds())


def _read(path: Path) -> float:
    with suppress(OSError, ValueError):
        return float(path.read_text())
    return 0.0


def _write(path: Path, seconds: float) -> None:
    with suppress(OSError):
        write_whole(path, f"{seconds:.1f}")
