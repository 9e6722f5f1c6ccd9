"""Action noise: in which places of its distributions a policy's actions are drawn, one by one or in concert.

Actions drawn one by one explore next to nothing: what one of them adds the next takes away, and the hand trembles
around one path, so hardly any outcome depends on what was drawn. Drawn in concert they lead somewhere else. In
continuous control that is temporally correlated noise (Lillicrap et al. 2016, arXiv 1509.02971, section 3; Eberhard et
al. 2023, "Pink Noise Is All You Need"). Discretized actions have it by a Gaussian copula: each is still drawn
from what the policy says of it, only the places are correlated,

    u = Phi(sqrt(c) s_m + sqrt(1 - c) e_t),    s_m = p s_(m-1) + sqrt(1 - p^2) e_m,

with coherence c, persistence p, s_m common to all actions of chunk m, each action dimension for itself. What it is
worth: docs/experiments.md.
"""

import torch

from worldvla.config import ActionNoise
from worldvla.policy.vla import ACTION_DIM


class Draws:
    """The places of R rollouts' actions, chunk after chunk; a pure function of (noise, R, K) and the generator."""

    def __init__(self, noise: ActionNoise, rollouts: int, chunk: int, random: torch.Generator):
        self._coherence, self._persistence = noise.coherence, noise.persistence
        self._shape = rollouts, chunk, ACTION_DIM
        self._random = random
        self._shared: torch.Tensor | None = None

    def next(self) -> torch.Tensor:
        """The next chunk's, float32 [R, K, 7] in [0, 1]: each action's share of probability that lies below it."""
        if not self._coherence:
            return torch.rand(self._shape, generator=self._random)
        rollouts, _, dimensions = self._shape
        fresh = torch.randn(rollouts, 1, dimensions, generator=self._random)
        if self._shared is None:
            self._shared = fresh
        else:
            self._shared = self._persistence * self._shared + (1 - self._persistence**2) ** 0.5 * fresh
        own = torch.randn(self._shape, generator=self._random)
        return torch.special.ndtr(self._coherence**0.5 * self._shared + (1 - self._coherence) ** 0.5 * own)
