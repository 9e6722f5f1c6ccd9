"""Muon: momentum whose matrices are orthogonalized before they are applied; AdamW for all else.

Jordan et al. 2024 (kellerjordan.github.io/posts/muon), with the update scaled to AdamW's
size as in "Muon is Scalable for LLM Training" (Liu et al. 2025, arXiv 2502.16982), so that
one learning rate serves both. torch's own takes matrices only; convolutions are most of
this model, and flattened to matrices [out, in · k · k] they gain as much.
"""

from collections.abc import Iterable

import torch

from worldvla.training.device import fast_dtype

MOMENTUM = 0.95
ADAM_BETAS = (0.9, 0.98)
# Quintics a x + b x^3 + c x^5 that bring singular values from .02 to 1 nearest to 1, chosen one after the other
# (Amsel et al. 2025, "The Polar Express", arXiv 2505.16932): three do what takes five with one set of coefficients.
NEWTON_SCHULZ = ((7.711, -22.1138, 16.2488), (3.2153, -2.4112, 0.5013), (2.2183, -1.5940, 0.4107))
SMALLEST_SIDE = 32  # matrices thinner than this gain nothing


class Muon(torch.optim.Optimizer):
    """Muon over the parameters that are matrices, AdamW over biases, gains and thin matrices."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], lr: float, weight_decay: float):
        parameters = list(parameters)
        matrices = [p for p in parameters if p.ndim >= 2 and min(p.flatten(1).shape) >= SMALLEST_SIDE]
        chosen = {id(p) for p in matrices}
        others = [p for p in parameters if id(p) not in chosen]
        groups = [{"params": matrices, "orthogonal": True}, {"params": others, "orthogonal": False}]
        super().__init__([group for group in groups if group["params"]], {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            trained = [p for p in group["params"] if p.grad is not None]
            torch._foreach_mul_(trained, 1 - group["lr"] * group["weight_decay"])
            if group["orthogonal"]:
                self._step_matrices(trained, group["lr"])
            else:
                self._step_others(trained, group["lr"])

    def _step_matrices(self, parameters: list[torch.nn.Parameter], lr: float) -> None:
        gradients = [p.grad for p in parameters]
        momentum = [self._state(p, "momentum") for p in parameters]
        torch._foreach_lerp_(momentum, gradients, 1 - MOMENTUM)
        updates = torch._foreach_lerp(gradients, momentum, MOMENTUM)
        by_shape: dict[torch.Size, list[int]] = {}
        for index, parameter in enumerate(parameters):
            by_shape.setdefault(parameter.flatten(1).shape, []).append(index)
        for shape, alike in by_shape.items():
            directions = orthogonalize(torch.stack([updates[index].flatten(1) for index in alike]))
            scale = -lr * 0.2 * max(shape) ** 0.5
            for index, direction in zip(alike, directions, strict=True):
                parameters[index].add_(direction.view_as(parameters[index]), alpha=scale)

    def _step_others(self, parameters: list[torch.nn.Parameter], lr: float) -> None:
        if not parameters:
            return
        first = [self._state(p, "first") for p in parameters]
        second = [self._state(p, "second") for p in parameters]
        counts = [self.state[p].setdefault("step", torch.zeros(())) for p in parameters]
        torch._foreach_add_(counts, 1)
        gradients = [p.grad for p in parameters]
        torch._foreach_lerp_(first, gradients, 1 - ADAM_BETAS[0])
        torch._foreach_mul_(second, ADAM_BETAS[1])
        torch._foreach_addcmul_(second, gradients, gradients, 1 - ADAM_BETAS[1])
        step = float(counts[0])
        size = torch._foreach_sqrt(torch._foreach_div(second, 1 - ADAM_BETAS[1] ** step))
        torch._foreach_add_(size, 1e-8)
        torch._foreach_addcdiv_(parameters, first, size, -lr / (1 - ADAM_BETAS[0] ** step))

    def _state(self, parameter: torch.nn.Parameter, name: str) -> torch.Tensor:
        return self.state[parameter].setdefault(name, torch.zeros_like(parameter))


def orthogonalize(matrices: torch.Tensor) -> torch.Tensor:
    """The nearest semi-orthogonal matrices [n, rows, columns], about: singular values above .02 end in .9 to 1.1.

    Newton-Schulz iterations in the machine's fast precision, which the result keeps; they need no more.
    """
    wide = matrices.shape[1] <= matrices.shape[2]
    x = (matrices if wide else matrices.transpose(1, 2)).to(fast_dtype(matrices.device))
    x = x / (x.float().square().sum((1, 2), keepdim=True).sqrt() + 1e-7).to(x.dtype)
    for a, b, c in NEWTON_SCHULZ:
        gram = torch.bmm(x, x.transpose(1, 2))
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return (x if wide else x.transpose(1, 2)).contiguous()
