"""Splits: which side of training an initial state lies on, decided by its hash alone.

Nothing but the initial state is asked, so adding, dropping or relabelling episodes never
moves one across splits, and two episodes of one initial state are always on the same side.
Collection draws only initial states of `train`, policy evaluation only those of `heldout`.
"""

import hashlib
from typing import Literal

from worldvla.config import Curation

Split = Literal["train", "validation", "heldout"]
SPLITS: tuple[Split, ...] = ("train", "validation", "heldout")
SALT = "worldvla split 1"


def split_of(initial_state_digest: str, curation: Curation) -> Split:
    """The split of an initial state; in expectation the shares of `curation`.

    Held-out states fill the unit interval from below and validation from above, so that a
    change of one share moves no state between the other two splits' shares.
    """
    position = unit_hash(initial_state_digest)
    if position < curation.heldout:
        return "heldout"
    return "validation" if position >= 1.0 - curation.validation else "train"


def unit_hash(text: str, salt: str = SALT) -> float:
    """A number in [0, 1), uniform over texts."""
    return int.from_bytes(hashlib.sha256(f"{salt}/{text}".encode()).digest()[:6], "big") / 2**48
