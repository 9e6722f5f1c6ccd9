"""What the doctor found: where, how bad, and what mends it."""

from dataclasses import dataclass
from typing import Literal

Mend = Literal["tag", "sweep", "remove", "withdraw"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (`error`) or wasteful (`note`).

    `subject` is an id, a file, or a version; `mend` says how `worldvla.upkeep.doctor.repair` mends it, None when a
    person must.
    """

    check: str
    severity: Literal["error", "note"]
    table: str
    subject: str
    problem: str
    fix: str
    mend: Mend | None = None
    repaired: bool = False
