"""What both training stages share: the schedule, the moving average, one resumable loop."""

import math
from collections.abc import Callable

import torch
from torch import nn

from worldvla.training.checkpoint import Checkpointer, load_optimizer_tensors, optimizer_tensors
from worldvla.training.progress import Log, Stopwatch, track
from worldvla.world_model.muon import Muon

GRADIENT_NORM = 1.0
WEIGHT_DECAY = 0.01
LOG_EVERY = 25
SAVE_EVERY = 5

Loss = Callable[[int], tuple[torch.Tensor, dict[str, torch.Tensor]]]


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
) -> None:
    """Trains `module` in place for `steps` steps of Muon; leaves the moving average of its weights in it.

    `loss_at(step)` must be a pure function of the step and the weights: then a training
    resumed from `checkpointer` ends at the same bytes as one never interrupted.
    """
    parameters = dict(module.named_parameters())
    average = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    optimizer = Muon(parameters.values(), learning_rate, WEIGHT_DECAY)
    done = 0
    if (saved := checkpointer.load(stage)) is not None:
        done, groups = saved
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(groups["weights"][name])
                average[name].copy_(groups["average"][name])
        load_optimizer_tensors(optimizer, groups["optimizer"])

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
        decay = min(ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.values()), list(parameters.values()), 1 - decay)
        seen.append({**metrics, "gradient_norm": norm})
        if (step + 1) % LOG_EVERY == 0 or step + 1 == steps:
            speed = (step + 1 - done) / clock()
            log(step + 1, {**_mean(seen), "steps_per_second": speed})
            seen = []
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
            groups = {"weights": parameters, "average": average, "optimizer": optimizer_tensors(optimizer)}
            checkpointer.save(stage, step + 1, groups, force=step + 1 == steps)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(average[name])
    module.eval()


def _mean(seen: list[dict[str, torch.Tensor]]) -> dict[str, float]:
    return {name: float(torch.stack([metrics[name] for metrics in seen]).mean()) for name in seen[0]}
