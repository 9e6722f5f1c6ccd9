"""What work costs the processor, all threads together: what else runs on the machine changes that little."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any


class ProcessorClock:
    """`seconds` of each kind of work, one number a measurement."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def __call__(self, name: str, work: Callable[[Any], Any], inputs: Iterable[Any]) -> None:
        """Measures `work` on all of the inputs, one after the other."""
        begin = time.process_time()
        for one in inputs:
            work(one)
        self.seconds[name].append(time.process_time() - begin)
