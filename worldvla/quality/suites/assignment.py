"""Which asset answers for which tables: their suites are its asset checks."""

from worldvla.lake.models import KINDS
from worldvla.lake.tables import TABLES

_RECORDED = ("episode_facts", "episode_sets")
ASSIGNED: dict[str, tuple[str, ...]] = {
    "demonstrations": _RECORDED,
    "perturbed_demonstrations": _RECORDED,
    "exploration_rollouts": _RECORDED,
    "open_loop_replays": _RECORDED,
    "imported_episodes": _RECORDED,
    "imported_demonstrations": ("episode_sets",),
    "raw_episodes": ("episodes", "frames", "episode_facts", "episode_sets"),
    "sans": ("sans",),
    "keyframes": ("keyframes",),
    **dict.fromkeys(KINDS, ("models", "training_membership")),
    "alignment": ("alignments",),
    "evaluation": ("evaluations",),
    "policy_rollouts": ("episodes", "frames", *_RECORDED),
    "failure_rollouts": ("episode_sets",),
}
# Closing an iteration audits the books, and every table that no other asset answers for.
ASSIGNED["iteration_record"] = tuple(name for name in TABLES if not any(name in one for one in ASSIGNED.values()))


def suites_of(asset: str) -> tuple[str, ...]:
    """The names of the suites that are this asset's checks."""
    return ASSIGNED.get(asset, ())
