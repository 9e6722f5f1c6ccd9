"""The training loop: which step's weights validation keeps, interrupted or not."""

from pathlib import Path

import pytest
import torch
from torch import nn

from worldvla.errors import UserError
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.progress import ignore
from worldvla.world_model.optimization import Validation, optimize

STEPS, EVERY = 20, 5


def train(scores: dict[int, float], directory: Path | None = None, until: int = STEPS) -> tuple[int, nn.Module]:
    """A line fitted in STEPS steps, given these validation scores by step, each with a standard error of .1;
    dies after `until` steps."""
    torch.manual_seed(0)
    module, asked = nn.Linear(1, 1), []

    def loss_at(step):
        if step >= until:
            raise KeyboardInterrupt
        asked.append(step + 1)
        return ((module(torch.ones(4, 1)) - 3) ** 2).mean(), {}

    validation = Validation(lambda: (scores[asked[-1]], 0.1), EVERY) if scores else None
    checkpointer = Checkpointer(directory, every_seconds=0)
    return optimize("line", module, loss_at, STEPS, 0.1, 0.9, checkpointer, ignore, validation), module


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ({5: 0.6, 10: 0.7, 15: 0.8, 20: 0.9}, 20),
        ({5: 0.6, 10: 0.9, 15: 0.7, 20: 0.7}, 10),
        ({5: 0.6, 10: 0.9, 15: 0.85, 20: 0.7}, 15),  # within a standard error of the best: noise
        ({5: 0.9, 10: 0.85, 15: 0.8, 20: 0.75}, 15),  # of the best, not of the last: no slow slide
        ({}, 20),
    ],
)
def test_the_latest_weights_within_an_error_of_the_best_are_kept(scores, kept):
    assert train(scores)[0] == kept


def test_the_weights_left_are_those_of_the_step_kept():
    weights = {
        kept: train({5: 0.9, 10: 0.9, 15: 0.9, 20: 0.9} | {n: 0.0 for n in range(kept + 5, 21, 5)})[1]
        for kept in (5, 10, 20)
    }
    values = [module.weight.item() for module in weights.values()]
    assert len(set(values)) == 3
    assert values[-1] == train({})[1].weight.item()


@pytest.mark.parametrize("until", [7, 13, 18])
def test_an_interrupted_training_keeps_the_same_weights(tmp_path, until):
    scores = {5: 0.5, 10: 0.9, 15: 0.2, 20: 0.3}
    with pytest.raises(KeyboardInterrupt):
        train(scores, tmp_path, until)
    kept, module = train(scores, tmp_path)
    assert kept == 10
    assert module.weight.item() == train(scores)[1].weight.item()


def test_a_training_that_diverges_is_refused_and_saves_no_such_weights(tmp_path):
    module, checkpointer = nn.Linear(1, 1), Checkpointer(tmp_path, every_seconds=0)

    def loss_at(step):
        loss = ((module(torch.ones(4, 1)) - 3) ** 2).mean()
        return loss * (float("nan") if step == 7 else 1), {}

    with pytest.raises(UserError, match="line: the training diverged: at step 10 loss or gradient is nan"):
        optimize("line", module, loss_at, STEPS, 0.1, 0.9, checkpointer, ignore)
    step, groups = checkpointer.load("line")
    assert step == 5 and groups["weights"]["weight"].isfinite().all()
