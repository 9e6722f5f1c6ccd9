"""Calibration: from which predicted reward on an imagined frame counts as success, task by task.

The reward head is regressed, and what is imagined is blurred where the future is uncertain, so
no number fixed beforehand parts successes from failures. The threshold is chosen on episodes of
the validation split, imagined whole as in alignment; no held-out episode is asked.
"""

import numpy as np

from worldvla.alignment.replay import dream
from worldvla.config import Imagination as ImaginationConfig
from worldvla.episodes.frame_bank import FrameBank
from worldvla.world_model.imagination import Imagination
from worldvla.world_model.model import WorldModel

FEWEST = 4  # episodes of either outcome below which a task takes the threshold of all tasks together


def calibrate(world_model: WorldModel, bank: FrameBank, imagination: ImaginationConfig, seed: int) -> dict[str, float]:
    """Thresholds by task, for the tasks of `bank`, of validation episodes at the world model's image size.

    Empty where the bank lacks an outcome: the model then keeps its default.
    """
    if not len(bank) or bank.success.all() or not bank.success.any():
        return {}
    dreams = dream(Imagination(world_model, imagination.denoising_steps, seed), bank)
    best = np.array([one.reward.max() for one in dreams])
    together, thresholds = best_threshold(best, bank.success), {}
    for task in sorted(set(bank.tasks)):
        rows = np.array([one == task for one in bank.tasks])
        enough = min(bank.success[rows].sum(), (~bank.success[rows]).sum()) >= FEWEST
        thresholds[task] = best_threshold(best[rows], bank.success[rows]) if enough else together
    return thresholds


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
