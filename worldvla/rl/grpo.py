"""Group-relative policy optimization, as pure functions of returns and log-probabilities.

GRPO (Shao et al. 2024, "DeepSeekMath", section 4.1) with what its descendants changed for
sparse success rewards: no KL term in the surrogate, the uniform groups dropped and the clipping asymmetric
(Yu et al. 2025, "DAPO", equations 8, 10 and 11), the advantage not divided by the group's
standard deviation (Liu et al. 2025, "Understanding R1-Zero-Like Training", section 3.1),
and steps after the first success masked (masked GRPO, WoVR, arXiv 2602.13977).

Shapes: R trajectories in groups of N; M action chunks of K steps, D dimensions an action.
"""

from dataclasses import dataclass

import torch


def outcomes(reward: torch.Tensor, steps: torch.Tensor, threshold: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return and valid length of trajectories, from the first frame that shows success.

    `reward` float [R, T] is that of the frame after each action, 0 after those that none was
    imagined after; `steps` int64 [R] says how many actions each trajectory took, `threshold`
    float [R] what counts as success. The return is float [R], 1 where a frame within `steps` has
    reward >= its threshold, whatever later frames say, else 0. The valid length is int64 [R]:
    the actions up to and including the first that led to such a frame, or `steps`.
    """
    taken = torch.arange(reward.shape[1], device=reward.device) < steps[:, None]
    success = (reward >= threshold[:, None]) & taken
    succeeded = success.any(dim=1)
    first = success.int().argmax(dim=1) + 1
    return succeeded.float(), torch.where(succeeded, first, steps)


def group_advantages(returns: torch.Tensor) -> torch.Tensor:
    """A_i = R_i - mean_j R_j over each group: float [G, N] to float [G, N] (Liu et al. 2025, section 3.1)."""
    return returns - returns.mean(dim=1, keepdim=True)


def informative_groups(returns: torch.Tensor) -> torch.Tensor:
    """bool [G]: whether the returns float [G, N] of a group differ at all (DAPO, equation 11)."""
    return (returns != returns[:, :1]).any(dim=1)


def step_weights(valid_length: torch.Tensor, first_step: torch.Tensor, chunk: int) -> torch.Tensor:
    """float [M, K]: weight of each step of chunks, 1 / L within the first L steps of its trajectory, 0 after.

    `valid_length` int64 [M] is L, `first_step` int64 [M] the chunk's first step in its
    trajectory. Summed over a trajectory's chunks the weights give 1 (masked GRPO, WoVR).
    """
    step = first_step[:, None] + torch.arange(chunk, device=first_step.device)
    return (step < valid_length[:, None]).float() / valid_length[:, None]


@dataclass(frozen=True)
class Surrogate:
    """`loss` scalar with gradient; `ratio` and `clip_fraction` floats, means over the steps that count."""

    loss: torch.Tensor
    ratio: float
    clip_fraction: float


def surrogate(
    log_prob: torch.Tensor,
    old_log_prob: torch.Tensor,
    advantage: torch.Tensor,
    weight: torch.Tensor,
    clip_low: float,
    clip_high: float,
) -> Surrogate:
    """The clipped objective, negated: sum over steps of w * mean_d max(-rho A, -clip(rho, 1 - low, 1 + high) A).

    DAPO, equation 10, with rho the ratio of each action dimension. `log_prob` and
    `old_log_prob` float [M, K, D], `advantage` float [M], `weight` float [M, K].
    """
    ratio = (log_prob - old_log_prob).exp()
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    advantage = advantage[:, None, None]
    loss = (weight * torch.maximum(-ratio * advantage, -clipped * advantage).mean(dim=-1)).sum()
    with torch.no_grad():
        counted = (weight > 0)[:, :, None].expand_as(ratio)
        active = (-clipped * advantage > -ratio * advantage)[counted]
        return Surrogate(loss, ratio[counted].mean().item(), active.float().mean().item())


def divergence(log_probs: torch.Tensor, base_log_probs: torch.Tensor) -> torch.Tensor:
    """KL(policy || base), nats an action dimension: the mean over all but the last dimension of [..., bins].

    DeepSeekMath, equation 4, estimates it from the token taken; with so few bins it is summed exactly.
    """
    return (log_probs.exp() * (log_probs - base_log_probs)).sum(-1).mean()
