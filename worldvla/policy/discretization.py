"""Actions as tokens: uniform bins over [-1, 1], as in RT-2 and OpenVLA.

The number of bins is odd, so one bin's centre is exactly 0: a policy can hold still.
"""

import torch


def to_tokens(actions: torch.Tensor, bins: int) -> torch.Tensor:
    """float [..., 7] in [-1, 1] to int64 [..., 7]: the nearest bin; values outside are clipped."""
    return torch.round((actions.clamp(-1, 1) + 1) * ((bins - 1) / 2)).long()


def to_actions(tokens: torch.Tensor, bins: int) -> torch.Tensor:
    """int64 [..., 7] to float32 [..., 7]: the bins' centres, -1 and 1 and an exact 0 among them."""
    return (tokens - (bins - 1) // 2).float() / ((bins - 1) // 2)
