"""Calibration: from where on reward head and judge see success in imagined frames, and how well rewards part outcomes.

The reward head is regressed, the judge has only ever seen real frames, and what is imagined is
blurred where the future is uncertain, so no number fixed beforehand parts successes from
failures. Thresholds are chosen on episodes of the validation split, imagined whole as in
alignment; no held-out episode is asked. On the same episodes a training is told, as it goes,
how well its rewards order the outcomes.
"""

from collections.abc import Iterable

import numpy as np

from worldvla.alignment.judge import THRESHOLD, Judge
from worldvla.alignment.replay import Dream, dream
from worldvla.config import Imagination as ImaginationConfig
from worldvla.episodes.frame_bank import FrameBank
from worldvla.world_model.imagination import Imagination
from worldvla.world_model.model import WorldModel

FEWEST = 4  # episodes of either outcome below which a task takes the threshold of all tasks together


def calibrate(
    world_model: WorldModel, bank: FrameBank, tasks: Iterable[str], imagination: ImaginationConfig, seed: int
) -> dict[str, float]:
    """Thresholds by task, for `tasks` and those of `bank`, of validation episodes at the world model's image size.

    A task of which the bank holds few episodes, or none, takes that of all together. Empty where the bank lacks an
    outcome: the model then keeps its default.
    """
    if not _both_outcomes(bank):
        return {}
    best = _highest_rewards(world_model, bank, imagination, seed)
    thresholds = dict.fromkeys(sorted({*tasks, *bank.tasks}), best_threshold(best, bank.success))
    for task, rows in _rows_by_task(bank).items():
        if min(bank.success[rows].sum(), (~bank.success[rows]).sum()) >= FEWEST:
            thresholds[task] = best_threshold(best[rows], bank.success[rows])
    return thresholds


def calibrate_judge(
    world_model: WorldModel, judge: Judge, bank: FrameBank, imagination: ImaginationConfig, seed: int
) -> float:
    """From which probability on the judge sees success in frames that `world_model` imagines, chosen as in `calibrate`.

    One for all tasks: made of single tasks' episodes it told fewer held-out outcomes (docs/experiments.md, 2026-12-01).
    His `THRESHOLD` for real frames where the bank lacks an outcome.
    """
    if not _both_outcomes(bank):
        return THRESHOLD
    dreams = _dreams(world_model, bank, imagination, seed)
    return best_threshold(np.array([judge.probabilities(one.images).max() for one in dreams]), bank.success)


def outcome_area(
    world_model: WorldModel, bank: FrameBank, imagination: ImaginationConfig, seed: int
) -> tuple[float, float]:
    """How well the highest imagined reward orders outcomes: mean area over the tasks, and its standard error.

    The area under the receiver operating characteristic needs no threshold: .5 is chance, 1 every success above every
    failure of its task. Tasks that lack an outcome say nothing; (0.5, 0.5) when all do.
    """
    best = _highest_rewards(world_model, bank, imagination, seed)
    areas = [
        area(best[rows], bank.success[rows])
        for rows in _rows_by_task(bank).values()
        if 0 < bank.success[rows].sum() < rows.sum()
    ]
    if not areas:
        return 0.5, 0.5
    values, errors = np.array(areas).T
    return float(values.mean()), float(np.sqrt((errors**2).sum()) / len(areas))


def area(score: np.ndarray, success: np.ndarray) -> tuple[float, float]:
    """Area under the curve of `score` float [N] for `success` bool [N], both outcomes present, and its standard error
    (Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747)."""
    yes, no = score[success], score[~success]
    value = float((yes[:, None] > no).mean() + 0.5 * (yes[:, None] == no).mean())
    above, twice = value / (2 - value), 2 * value**2 / (1 + value)
    spread = (len(yes) - 1) * (above - value**2) + (len(no) - 1) * (twice - value**2)
    return value, float(np.sqrt(max(0.0, value * (1 - value) + spread) / (len(yes) * len(no))))


def _highest_rewards(world_model: WorldModel, bank: FrameBank, imagination: ImaginationConfig, seed: int) -> np.ndarray:
    """float32 [episodes]: the highest reward of each episode, imagined whole."""
    return np.array([one.reward.max() for one in _dreams(world_model, bank, imagination, seed)])


def _dreams(world_model: WorldModel, bank: FrameBank, imagination: ImaginationConfig, seed: int) -> list[Dream]:
    return dream(Imagination(world_model, imagination.denoising_steps, seed), bank)


def _both_outcomes(bank: FrameBank) -> bool:
    return bool(bank.success.any() and not bank.success.all())


def _rows_by_task(bank: FrameBank) -> dict[str, np.ndarray]:
    return {task: np.array([one == task for one in bank.tasks]) for task in sorted(set(bank.tasks))}


def best_threshold(score: np.ndarray, success: np.ndarray) -> float:
    """The threshold at which `score` float [N] tells `success` bool [N] best, outcomes weighing alike.

    The median of all that lie within one standard error of the best: the best itself is noise's choice.
    """
    success = np.asarray(success, bool)
    edges = np.unique(score)
    candidates = np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2])
    told = score[None] >= candidates[:, None]
    right = (told[:, success].mean(1) + (~told[:, ~success]).mean(1)) / 2
    error = np.sqrt(right.max() * (1 - right.max()) / len(score))
    return float(np.clip(np.median(candidates[right >= right.max() - error]), 0.01, 0.99))
