"""Progress of long work, on standard error, and the metrics that go with it.

Library code calls `track` and never knows whether a person watches. On a terminal it
draws a bar; in a log file it writes a line every half minute.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
Log = Callable[[int, dict[str, float]], None]


def ignore(step: int, metrics: dict[str, float]) -> None:
    """A `Log` that keeps nothing."""


def track(items: Iterable[T], description: str, total: int | None = None, initial: int = 0) -> Iterator[T]:
    """Yields the items, showing how far along they are."""
    interval = 0.2 if sys.stderr.isatty() else 30.0
    with tqdm(
        items, desc=description, total=total, initial=initial, mininterval=interval, file=sys.stderr, delay=2
    ) as bar:
        yield from bar


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()

    def __call__(self) -> float:
        return time.perf_counter() - self._begin
