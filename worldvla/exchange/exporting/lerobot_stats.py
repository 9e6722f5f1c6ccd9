"""The statistics that a LeRobot dataset carries, of each episode and of all: what policies normalize with.

Minimum, maximum, mean, standard deviation, count and five quantiles of each component, or, of pictures in [0, 1], of
each channel. Of the whole dataset, mean and deviation of numbers are exact, those of pictures of the ones looked at;
a quantile is the mean of the episodes' quantiles, weighted by their lengths, as lerobot's `aggregate_stats` defines it.
"""

from collections.abc import Mapping

import numpy as np

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
# Pictures of an episode that its statistics are taken from, evenly spaced, and every fourth pixel of those.
PICTURES = 16
PIXEL_STRIDE = 4

Stats = dict[str, dict[str, np.ndarray]]


def of_numbers(values: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics [D] of float or integer [N, D], or [1] of [N]: of the rows, of `count`, that hold a number in every
    column; zeros where there is none."""
    values = np.asarray(values, np.float64).reshape(len(values), -1)
    known = values[np.isfinite(values).all(1)]  # JSON knows no other number
    return {**_moments(known if len(known) else np.zeros((1, values.shape[1]))), "count": np.array([len(known)])}


def of_pictures(pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics [3, 1, 1] of uint8 [N, H, W, 3], in [0, 1]."""
    some = np.unique(np.linspace(0, len(pictures) - 1, min(PICTURES, len(pictures))).astype(int))
    pixels = pictures[some, ::PIXEL_STRIDE, ::PIXEL_STRIDE].reshape(-1, 3) / 255.0
    stats = {name: value.reshape(3, 1, 1) for name, value in _moments(pixels).items()}
    return {**stats, "count": np.array([len(some)])}


class Aggregate:
    """Statistics of all episodes, from those of each, without keeping them."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, np.ndarray]] = {}

    def add(self, stats: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        for feature, new in stats.items():
            old = self._of.get(feature)
            self._of[feature] = dict(new) if old is None else _merged(old, new)

    def result(self) -> Stats:
        return self._of


def as_lists(stats: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, dict[str, list]]:
    """For JSON and Parquet."""
    return {feature: {name: value.tolist() for name, value in one.items()} for feature, one in stats.items()}


def _moments(values: np.ndarray) -> dict[str, np.ndarray]:
    quantiles = np.quantile(values, list(QUANTILES.values()), axis=0)
    return {
        "min": values.min(0),
        "max": values.max(0),
        "mean": values.mean(0),
        "std": values.std(0),
        **dict(zip(QUANTILES, quantiles, strict=True)),
    }


def _merged(old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of both; what counts no row says nothing."""
    if not new["count"][0] or not old["count"][0]:
        return dict(new if new["count"][0] else old)
    count = old["count"] + new["count"]
    share = float(new["count"][0] / count[0])
    apart = new["mean"] - old["mean"]
    variance = (1 - share) * old["std"] ** 2 + share * new["std"] ** 2 + share * (1 - share) * apart**2
    merged = {name: old[name] + share * (new[name] - old[name]) for name in ("mean", *QUANTILES)}
    return {
        **merged,
        "min": np.minimum(old["min"], new["min"]),
        "max": np.maximum(old["max"], new["max"]),
        "std": np.sqrt(variance),
        "count": count,
    }
