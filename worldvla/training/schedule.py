"""How the learning rate goes over a training."""

import math

WARMUP = 0.05


def warmed_up_cosine(step: int, steps: int) -> float:
    """The share of the peak at `step` of `steps`: linear warm-up over the first WARMUP of them, then a cosine to 0."""
    warmup = max(1, round(WARMUP * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
