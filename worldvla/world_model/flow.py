"""Rectified flow: the path from data to noise, how noise levels are drawn, weighted and walked.

x_σ = (1 - σ) x0 + σ ε, with velocity v = ε - x0 (Liu et al. 2022, arXiv 2209.03003). The
network F predicts neither x0 nor v but what EDM's preconditioning asks for (Karras et al.
2022, arXiv 2206.00364, with the signal scaled by 1 - σ):

    x̂0 = c_skip(σ) x_σ + c_out(σ) F,   c_skip = (1 - σ) / n(σ)²,   c_out = σ / n(σ),
    n(σ)² = (1 - σ)² + σ²,             v̂ = (x_σ - x̂0) / σ.

F has unit targets at every σ: from pure noise it predicts the data, and need not carry the
noise through; near the data it predicts the noise.
"""

import torch

SMALLEST_SIGMA = 0.02
PURE_NOISE_SHARE = 0.6  # of the noise levels drawn in training
CONTEXT_SIGMA = 0.05  # noise level that imagined history is declared to have


def preconditioning(sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(c_in, c_skip, c_out) of the noise levels, shaped like them; c_in = 1 / n(σ) makes inputs unit."""
    norm = ((1 - sigma) ** 2 + sigma**2).sqrt()
    return 1 / norm, (1 - sigma) / norm**2, sigma / norm


def flow_weight(sigma: torch.Tensor) -> torch.Tensor:
    """n(σ)², in [1/2, 1]: with it the squared error of v̂ is that of F."""
    return (1 - sigma) ** 2 + sigma**2


def reward_weight(sigma: torch.Tensor) -> torch.Tensor:
    """λ(σ) = SNR / (1 + SNR) with SNR = ((1 - σ) / σ)²: the share of signal in x_σ, from 1 (data) to 0 (noise).

    What is denoised from pure noise says little about the outcome, so it should neither
    teach the head nor be bent by it.
    """
    return (1 - sigma) ** 2 / ((1 - sigma) ** 2 + sigma**2)


def sample_sigma(count: int, generator: torch.Generator) -> torch.Tensor:
    """float32 [count] noise levels: six in ten are 1, where sampling starts; the rest are uniform.

    Given the actions the future is nearly determined, so the first denoising step decides
    most of a frame and deserves the share.
    """
    sigma = torch.rand(count, generator=generator) * (1 - SMALLEST_SIGMA) + SMALLEST_SIGMA
    return torch.where(torch.rand(count, generator=generator) < PURE_NOISE_SHARE, torch.ones(()), sigma)


def schedule(steps: int) -> list[float]:
    """The steps + 1 noise levels of Euler's method, from 1 to 0, evenly spaced."""
    return [1 - index / steps for index in range(steps + 1)]
