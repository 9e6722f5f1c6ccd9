"""What trainings share of the world model's parts: schedule, moving average, validation, and one resumable loop."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from worldvla.training.checkpoint import Checkpointer, load_optimizer_tensors, optimizer_tensors
from worldvla.training.divergence import refuse_divergence
from worldvla.training.progress import Log, Stopwatch, track
from worldvla.world_model.muon import Muon

GRADIENT_NORM = 1.0
WEIGHT_DECAY = 0.01
LOG_EVERY = 25
SAVE_EVERY = 5

Loss = Callable[[int], tuple[torch.Tensor, dict[str, torch.Tensor]]]


class Carried(Protocol):
    """What a loss carries from one step to the next besides the weights; saved with these."""

    def tensors(self) -> dict[str, torch.Tensor]: ...

    def load(self, tensors: dict[str, torch.Tensor]) -> None: ...


@dataclass(frozen=True)
class Validation:
    """Which step's weights a training ends with.

    `score()` gives the score, the higher the better, of the weights now in the module, and its
    standard error; it is asked every `every` steps and after the last. Kept are the latest weights
    that lie within one standard error of the best score so far: a training that goes bad ends
    with what it was before, and noise alone takes nothing back.
    """

    score: Callable[[], tuple[float, float]]
    every: int


def learning_rate_at(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over the first twentieth, then a cosine to a hundredth of the peak."""
    warmup = max(1, steps // 20)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def optimize(
    stage: str,
    module: nn.Module,
    loss_at: Loss,
    steps: int,
    learning_rate: float,
    ema_decay: float,
    checkpointer: Checkpointer,
    log: Log,
    validation: Validation | None = None,
    carried: Carried | None = None,
) -> int:
    """Trains `module` in place for `steps` steps of Muon; leaves the moving average of its weights in it.

    Returns the step after which that average was taken: the last, or the one that `validation` kept.
    `loss_at(step)` must be a pure function of the step, the weights and `carried`, `validation.score()` of
    the weights: then a training resumed from `checkpointer` ends at the same bytes as one never interrupted.
    Raises `UserError` where it diverges, before weights that are no numbers are saved.
    """
    parameters = dict(module.named_parameters())
    average = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    optimizer = Muon(parameters.values(), learning_rate, WEIGHT_DECAY)
    done, kept = 0, Kept(average, -math.inf, 0)
    if (saved := checkpointer.load(stage)) is not None:
        done, groups = saved
        _put(groups["weights"], module)
        for name, one in average.items():
            one.copy_(groups["average"][name])
        load_optimizer_tensors(optimizer, groups["optimizer"])
        if carried is not None:
            carried.load(groups["carried"])
        if validation and "kept" in groups:
            kept = Kept.from_tensors(groups["kept"])

    module.train()
    clock = Stopwatch()
    seen: list[dict[str, torch.Tensor]] = []
    for step in track(range(done, steps), stage, total=steps, initial=done):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, steps, learning_rate)
        loss, metrics = loss_at(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters.values(), GRADIENT_NORM)
        optimizer.step()
        saving = (step + 1) % SAVE_EVERY == 0 or step + 1 == steps
        if saving:
            refuse_divergence(stage, step + 1, float(norm))
        decay = min(ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.values()), list(parameters.values()), 1 - decay)
        seen.append({**metrics, "gradient_norm": norm})
        if (step + 1) % LOG_EVERY == 0 or step + 1 == steps:
            speed = (step + 1 - done) / clock()
            log(step + 1, {**_mean(seen), "steps_per_second": speed})
            seen = []
        if validation and ((step + 1) % validation.every == 0 or step + 1 == steps):
            score, error = _score(validation, module, average)
            log(step + 1, {"validation_score": score})
            if score >= kept.best - error:
                kept = Kept({name: one.clone() for name, one in average.items()}, max(score, kept.best), step + 1)
        if saving:
            groups = {"weights": parameters, "average": average, "optimizer": optimizer_tensors(optimizer)}
            if carried is not None:
                groups["carried"] = carried.tensors()
            if kept.step:
                groups["kept"] = kept.tensors()
            checkpointer.save(stage, step + 1, groups, force=step + 1 == steps)
    if not validation:
        kept = Kept(average, 0.0, steps)
    _put(kept.average, module)
    module.eval()
    return kept.step


@dataclass(frozen=True)
class Kept:
    """The moving average taken after `step`, and the best validation score until then."""

    average: dict[str, torch.Tensor]
    best: float
    step: int

    def tensors(self) -> dict[str, torch.Tensor]:
        return {**self.average, "validation": torch.tensor([self.best, self.step], dtype=torch.float64)}

    @staticmethod
    def from_tensors(tensors: dict[str, torch.Tensor]) -> "Kept":
        best, step = tensors["validation"].tolist()
        return Kept({name: one for name, one in tensors.items() if name != "validation"}, best, int(step))


def _score(validation: Validation, module: nn.Module, average: dict[str, torch.Tensor]) -> tuple[float, float]:
    """The score of the moving average, which stands in the module for as long."""
    trained = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    _put(average, module)
    try:
        return validation.score()
    finally:
        _put(trained, module)


@torch.no_grad()
def _put(weights: dict[str, torch.Tensor], module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        parameter.copy_(weights[name])


def _mean(seen: list[dict[str, torch.Tensor]]) -> dict[str, float]:
    return {name: float(torch.stack([metrics[name] for metrics in seen]).mean()) for name in seen[0]}
