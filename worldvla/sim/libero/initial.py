"""The initial states that ship with LIBERO, 50 a task: what the field evaluates on.

Seeds from `EVALUATION` to `BEYOND` stand for them, in their order and over again; every other seed draws
a placement from the task's own regions.
"""

import numpy as np

from worldvla.sim.libero.installation import package
from worldvla.sim.seed_ranges import BEYOND, EVALUATION


def shipped_states(suite: str, task: str) -> np.ndarray:
    """float64 [50, S]: time, joint positions and velocities. Nothing but arrays is ever unpickled."""
    import torch
    from numpy._core.multiarray import _reconstruct

    path = package() / "init_files" / suite / f"{task}.pruned_init"
    needed = [
        (_reconstruct, "numpy.core.multiarray._reconstruct"),
        np.ndarray,
        np.dtype,
        type(np.dtype(np.float64)),
    ]
    with torch.serialization.safe_globals(needed):
        return np.asarray(torch.load(path, weights_only=True), dtype=np.float64)


def shipped_index(seed: int, count: int) -> int | None:
    """Which of `count` shipped states a seed means; None for a seed that draws a placement."""
    return (seed - EVALUATION) % count if EVALUATION <= seed < BEYOND else None
