"""How long a computation took that was killed and went on: the seconds of all attempts at it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from worldvla.whole_file import write_whole

EVERY_SECONDS = 10.0  # the most that a kill makes forget
ENDED = "ended"


@contextmanager
def spent(path: Path, every: float = EVERY_SECONDS) -> Iterator[Callable[[], float]]:
    """Gives a clock: seconds that this attempt has taken so far, and those that `path` holds of the attempts before.

    While the attempt lasts they are written to `path`, so that a killed one counts too. Whoever publishes what was
    computed removes the file; until then it says whether the latest attempt ended in its own time, or was killed. A
    file that cannot be read or written costs its seconds and never the computation.
    """
    begin, (before, _) = time.perf_counter(), read_spent(path) or (0.0, True)
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
        _write(path, seconds(), ENDED)


def read_spent(path: Path) -> tuple[float, bool] | None:
    """The seconds that stand in the file, and whether the latest attempt has said that it ended; None without them."""
    try:
        seconds, *said = path.read_text().split()
        return float(seconds), said == [ENDED]
    except (OSError, ValueError):
        return None


def _write(path: Path, seconds: float, said: str = "") -> None:
    with suppress(OSError):
        write_whole(path, f"{seconds:.1f} {said}".strip())
