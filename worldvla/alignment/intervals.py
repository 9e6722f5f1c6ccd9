"""Intervals for proportions: no rate in this project stands without one."""

import math
from collections.abc import Callable, Sequence

Z_95 = 1.959964


def wilson(successes: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927; method 3 of Newcombe 1998, Statist. Med. 17:857–872).

    It stays within [0, 1] and is right also where the rate is 0 or 1. No observation says nothing: (0, 1).
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    if n == 0:
        return 0.0, 1.0
    rate = successes / n
    centre = rate + z * z / (2 * n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low, high = (centre - half) / scale, (centre + half) / scale
    return (0.0 if successes == 0 else low), (1.0 if successes == n else high)


def paired_difference(before: Sequence[bool], after: Sequence[bool], z: float = Z_95) -> tuple[float, float, float]:
    """(after − before, low, high) of two rates measured on the same cases, in the same order.

    Newcombe's hybrid score interval for paired proportions with the continuity-corrected
    correlation (method 10 of Newcombe 1998, Statist. Med. 17:2635–2650): the two Wilson
    intervals joined by squaring and adding, less what the pairing makes them share.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} cases before and {len(after)} after are no pairs")
    n = len(before)
    if n == 0:
        return 0.0, -1.0, 1.0
    both = sum(bool(a and b) for a, b in zip(after, before, strict=True))
    new, old = sum(map(bool, after)), sum(map(bool, before))
    p_new, p_old = new / n, old / n
    (low_new, high_new), (low_old, high_old) = wilson(new, n, z), wilson(old, n, z)
    phi = _correlation(both, new - both, old - both, n - new - old + both)

    def joined(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    difference = p_new - p_old
    low = difference - joined(p_new - low_new, high_old - p_old)
    high = difference + joined(high_new - p_new, p_old - low_old)
    return difference, max(low, -1.0), min(high, 1.0)


def proportion(successes: int, n: int) -> dict:
    """A rate as it is reported everywhere: successes, n, rate (None without observations) and its 95 % interval."""
    low, high = wilson(successes, n)
    return {"successes": successes, "n": n, "rate": successes / n if n else None, "low": low, "high": high}


def comparison(base: Sequence[bool], new: Sequence[bool]) -> dict:
    """Two rates measured on the same cases, in the same order, as they are reported everywhere: each of the `base` and
    the `new`, and their paired `difference` with its interval."""
    difference, low, high = paired_difference(base, new)
    return {
        "base": proportion(sum(map(bool, base)), len(base)),
        "new": proportion(sum(map(bool, new)), len(new)),
        "difference": {"difference": difference, "low": low, "high": high, "n": len(new)},
    }


def by_task(tasks: Sequence[str], compared: Callable[[list[int]], dict]) -> dict:
    """What `compared` makes of all cases, by their index, and under `tasks` of the cases of each: `tasks` names that of
    every case."""
    each = {task: [case for case, one in enumerate(tasks) if one == task] for task in sorted(set(tasks))}
    return {**compared(list(range(len(tasks)))), "tasks": {task: compared(cases) for task, cases in each.items()}}


def _correlation(both: int, only_new: int, only_old: int, neither: int) -> float:
    """Correlation φ of two paired outcomes; a positive one is corrected for continuity by n / 2, at most to 0."""
    margins = (both + only_new) * (only_old + neither) * (both + only_old) * (only_new + neither)
    if margins == 0:
        return 0.0
    product = both * neither - only_new * only_old
    if product > 0:
        product = max(product - (both + only_new + only_old + neither) / 2, 0.0)
    return product / math.sqrt(margins)
