"""What group-relative reinforcement learning reads of a world model: how rollouts from one and the same start compare.

A world model that tells easy starts from hard ones orders outcomes well and teaches nothing, for an advantage is a
return less the mean of its group (Liu et al. 2025, arXiv 2503.20783, section 3.1). So only differences within a start
count here. Intervals are of starts, by the jackknife that leaves out one at a time (Efron and Stein 1981,
doi:10.1214/aos/1176345462): rollouts of one start are alike.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.result import figure
from worldvla.alignment.intervals import Z_95

Statistic = Callable[[np.ndarray], float]


def within_start(name: str, score: np.ndarray, told: np.ndarray, happened: np.ndarray, start: np.ndarray) -> list[dict]:
    """Figures of R rollouts: `score` float [R] is the highest imagined reward, `told` bool [R] imagination's outcome,
    `happened` bool [R] the simulator's, `start` int [R] says from where. None of what no start tells."""
    starts = [np.flatnonzero(start == one) for one in np.unique(start)]
    pairs = np.array([_pairs(score[rows], happened[rows]) for rows in starts])
    moments = np.array([_moments(told[rows], happened[rows]) for rows in starts])
    informative = int((pairs[:, 1] > 0).sum())
    figures = []
    if informative:
        value, interval = _jackknife(pairs, lambda total: total[0] / total[1])
        figures.append(figure(f"{name}: success above failure of one start", value, "of 1", informative, interval))
    if (moments.sum(0)[1:] > 0).all():
        value, interval = _jackknife(moments, lambda total: total[0] / np.sqrt(total[1] * total[2]))
        figures.append(figure(f"{name}: correlation of advantages", value, "of 1", len(starts), interval))
    return figures


def _pairs(score: np.ndarray, happened: np.ndarray) -> tuple[float, float]:
    """Of pairs of a success and a failure: how many are in the right order, ties by half, and how many there are."""
    above = score[happened][:, None] - score[~happened]
    return float((above > 0).sum() + (above == 0).sum() / 2), float(above.size)


def _moments(told: np.ndarray, happened: np.ndarray) -> tuple[float, float, float]:
    """Sums of products of the group's advantages: imagined times real, imagined squared, real squared."""
    imagined, real = told - told.mean(), happened - happened.mean()
    return float(imagined @ real), float(imagined @ imagined), float(real @ real)


def _jackknife(parts: np.ndarray, statistic: Statistic) -> tuple[float, tuple[float, float] | None]:
    """The statistic of the sum of parts [S, k], and its 95 % interval where each can be left out."""
    total = parts.sum(0)
    value = float(statistic(total))
    with np.errstate(invalid="ignore", divide="ignore"):
        without = np.array([statistic(total - part) for part in parts])
    if len(parts) < 2 or not np.isfinite(without).all():
        return value, None
    error = np.sqrt((len(parts) - 1) / len(parts) * ((without - without.mean()) ** 2).sum())
    return value, (float(value - Z_95 * error), float(value + Z_95 * error))
