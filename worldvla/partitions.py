"""Iterations as partition keys: `0000`, `0001`, …; campaign-scope nodes have the key `""`."""

import re
from dataclasses import dataclass

from worldvla.errors import UserError

CAMPAIGN_SCOPE = ""
MOST_ITERATIONS = 10_000  # a key has four digits, so that keys sort as their numbers do
_KEY = re.compile(r"[0-9]{4}")
_RANGE = re.compile(r"(?P<first>\d{1,4})?(?P<to>\.\.|-)?(?P<last>\d{1,4})?")


def iteration_key(number: int) -> str:
    return f"{number:04d}"


def iteration_number(key: str) -> int:
    """Raises `UserError` where a table holds something else: nothing is counted up to it."""
    if not _KEY.fullmatch(key):
        raise UserError(f"table materializations: {key[:20]!r} is not an iteration of four digits; delete its rows")
    return int(key)


@dataclass(frozen=True)
class IterationRange:
    """Iterations from `first` to `last`, both included; to the newest there is where `last` is none."""

    first: int
    last: int | None

    def keys(self, iterations: int) -> frozenset[str]:
        """The partition keys of those that a campaign of so many iterations has."""
        end = iterations if self.last is None else min(self.last + 1, iterations)
        return frozenset(map(iteration_key, range(self.first, end)))


def parse_iterations(text: str) -> IterationRange:
    """`3`, `0003`, `2-5`, `0002..0005`, `4..` (to the newest) and `..5`; raises `UserError` on anything else."""
    match = _RANGE.fullmatch(text.strip())
    if match is None or not (match["first"] or match["last"]) or (match["last"] and not match["to"]):
        raise UserError(
            f"--iteration {text!r}: give its number (3 or 0003), a range with both ends (2-5 or 0002..0005) "
            "or an open one (4.. or ..5)"
        )
    first = int(match["first"] or 0)
    last = first if not match["to"] else int(match["last"]) if match["last"] else None
    if last is not None and last < first:
        raise UserError(f"--iteration {text}: the range ends before it begins; write {last}-{first}")
    return IterationRange(first, last)
