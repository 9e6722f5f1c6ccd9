"""What a world model's alignment rows say together: rates with intervals, means, curves over the horizon."""

from collections.abc import Callable, Sequence

import numpy as np

from worldvla.alignment.intervals import proportion

Rows = Sequence[dict]
IMAGE_CURVES = ("psnr", "ssim", "flip", "static_psnr")


def summarize(rows: Rows) -> dict:
    """JSON-able summary of rows of table `alignments` (what `replay` returns, or what was read back).

    `visual_alignment`: share of episodes whose imagined video the judge gives the true
    outcome; `reward_alignment`: the same of the reward head; `judge_accuracy_real`: the
    same of the judge on the real frames. Each with successes, n, rate and 95 % interval.
    `psnr_last` and its like are means over episodes of their last step.
    """
    if not rows:
        raise ValueError("nothing to summarize: no alignment rows")
    tasks = sorted({row["task"] for row in rows})
    return {
        **_figures(rows),
        "reward_outcomes": _outcomes(rows, "reward_success"),
        "judge_outcomes": _outcomes(rows, "judged_success_imagined"),
        "curves": _curves(rows),
        "tasks": {task: _figures([row for row in rows if row["task"] == task]) for task in tasks},
    }


def _figures(rows: Rows) -> dict:
    def last(name: str) -> float:
        return float(np.mean([row[f"{name}_curve"][-1] for row in rows]))

    def mean(name: str) -> float:
        return float(np.mean([row[name] for row in rows]))

    return {
        "n": len(rows),
        "n_success": sum(bool(row["true_success"]) for row in rows),
        "n_failure": sum(not row["true_success"] for row in rows),
        "visual_alignment": _agreement(rows, "judged_success_imagined"),
        "reward_alignment": _agreement(rows, "reward_success"),
        "judge_accuracy_real": _agreement(rows, "judged_success_real"),
        **{name: mean(name) for name in ("psnr", "ssim", "flip", "static_psnr")},
        **{f"{name}_last": last(name) for name in IMAGE_CURVES},
    }


def _agreement(rows: Rows, column: str) -> dict:
    return proportion(sum(bool(row[column]) == bool(row["true_success"]) for row in rows), len(rows))


def _outcomes(rows: Rows, column: str) -> dict[str, int]:
    """The four ways in which a predicted outcome and the true one fall together."""
    pairs = [(bool(row["true_success"]), bool(row[column])) for row in rows]
    names = {
        "true_success": (True, True),
        "missed_success": (True, False),
        "false_success": (False, True),
        "true_failure": (False, False),
    }
    return {name: pairs.count(pair) for name, pair in names.items()}


def _curves(rows: Rows) -> dict:
    """Over the imagined frames, `frame_stride` steps apart, up to the longest episode's end.

    Picture distances: the mean of the episodes that still run, `n` of them. Alignment by
    step t: agreement of "success by step t" of the reward head, or of the judge on imagined
    frames, with the true one; an ended episode keeps the outcome it ended with, so n is
    that of all episodes.
    """
    horizon = max(len(row["psnr_curve"]) for row in rows)
    running = [[row for row in rows if len(row["psnr_curve"]) > frame] for frame in range(horizon)]
    images = {
        name: [float(np.mean([row[f"{name}_curve"][frame] for row in group])) for frame, group in enumerate(running)]
        for name in IMAGE_CURVES
    }
    true = _by_step(rows, "true_reward_curve", lambda row: 0.5, horizon)
    reward = _by_step(rows, "reward_curve", lambda row: row["success_threshold"], horizon)
    judged = _by_step(rows, "judge_curve", lambda row: row["judge_threshold"], horizon)
    return {
        "step": [rows[0]["frame_stride"] * (frame + 1) for frame in range(horizon)],
        "n": [len(group) for group in running],
        **images,
        "reward_alignment": [proportion(int(agree), len(rows)) for agree in (reward == true).sum(0)],
        "visual_alignment": [proportion(int(agree), len(rows)) for agree in (judged == true).sum(0)],
        "reward_f1": [_f1(true[:, frame], reward[:, frame]) for frame in range(horizon)],
    }


def _by_step(rows: Rows, curve: str, threshold: Callable[[dict], float], horizon: int) -> np.ndarray:
    """bool [episodes, horizon]: whether a success was seen by each imagined frame."""
    seen = np.zeros((len(rows), horizon), bool)
    for index, row in enumerate(rows):
        by = np.maximum.accumulate(np.asarray(row[curve]) >= threshold(row))
        seen[index, : len(by)] = by
        seen[index, len(by) :] = by[-1]
    return seen


def _f1(true: np.ndarray, said: np.ndarray) -> float | None:
    """2 tp / (2 tp + fp + fn); none while there is no success, true or said."""
    both = int((true & said).sum())
    wrong = int((true != said).sum())
    return 2 * both / (2 * both + wrong) if both or wrong else None
