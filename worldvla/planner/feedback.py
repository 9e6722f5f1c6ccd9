"""The version of what comes back: what reaches an iteration from all before it.

Each iteration's version extends the one before by a digest, so a thousand iterations cost
a thousand digests, and the version at t says in what order things came.
"""

from collections.abc import Sequence

from worldvla.lake.digests import digest

NOTHING = digest([])


def extend(version: str, published: str) -> str:
    """The version in iteration t + 1, from the one in t and what iteration t published."""
    return digest([version, published])


def incoming_version(published: Sequence[str]) -> str:
    """The version in iteration t, from the effective versions published by iterations 0 … t - 1."""
    version = NOTHING
    for one in published:
        version = extend(version, one)
    return version
