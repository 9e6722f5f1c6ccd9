"""The figures of a campaign: its world models against held-out episodes, its policies on held-out seeds, its hours.

The targets are put to values, as the papers give theirs, so a figure `holds` when its value reaches the target, and
`interval_holds` says whether the whole 95 % interval does. The second iteration's gain is judged by its interval.
"""

import math
import statistics
from typing import Any

from benchmarks.campaign_evidence import Evidence
from benchmarks.campaign_measurements import Evaluation, named
from benchmarks.outcomes import Outcomes, gain, of_task, success, tasks_of
from benchmarks.result import figure
from worldvla.alignment.intervals import Z_95, proportion
from worldvla.planner.graph import GRAPH

SSIM, PSNR_DB, VISUAL, REWARD, EPISODES = 0.91, 28.1, 0.88, 0.87, 200
SEEDS, BASE_AT_LEAST, BASE_AT_MOST = 200, 0.30, 0.60
HOURS = 2
ALL = "all tasks"

Figure = dict[str, Any]


def judged(
    name: str,
    value: float,
    unit: str,
    n: int | None = None,
    interval: tuple[float, float] | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Figure:
    """A figure whose target is put to its value; `interval_holds` where there are an interval and a target."""
    one = figure(name, value, unit, n, interval, at_least, at_most)
    if interval is None or one["target"] is None:
        return one
    return one | {
        "holds": figure(name, value, unit, at_least=at_least, at_most=at_most)["holds"],
        "interval_holds": one["holds"],
    }


def share(name: str, rate: dict, at_least: float | None = None, at_most: float | None = None) -> Figure:
    """A figure of a `proportion`."""
    return judged(name, rate["rate"], "share", rate["n"], (rate["low"], rate["high"]), at_least, at_most)


def difference(name: str, value: dict, at_least: float | None = None) -> Figure:
    """A figure of a paired `gain`."""
    return judged(name, value["difference"], "share", value["n"], (value["low"], value["high"]), at_least)


def rises(name: str, value: dict) -> Figure:
    """A paired `gain` that holds when its whole interval is above zero."""
    return figure(name, value["difference"], "share", value["n"], (value["low"], value["high"]), 0.0) | {
        "holds": value["low"] > 0
    }


def world_model_figures(evidence: Evidence, campaign: str) -> list[Figure]:
    """Each iteration's world model on whole held-out episodes, imagined from the first frame: in all, per task, and its
    alignment by what recorded them, for experts, replays and policies are not as easily told: there of each outcome
    for itself, since outcomes are balanced within tasks alone."""
    figures = []
    for iteration, found in evidence.alignments(campaign).items():
        rows = found.rows
        where = f"{campaign} iteration {iteration}"
        figures.append(judged(f"{where}: held-out episodes", len(rows), "episodes", at_least=EPISODES))
        figures.append(judged(f"{where}: of them successes", sum(row["true_success"] for row in rows), "episodes"))
        figures += imagined_figures(f"{where}, {ALL}", rows, target=True)
        for task in sorted({row["task"] for row in rows}):
            figures += imagined_figures(f"{where}, {task}", [row for row in rows if row["task"] == task])
        for source in sorted({row["source"] for row in rows if row.get("source")}):
            for outcome, such in ((True, "successes"), (False, "failures")):
                recorded = [row for row in rows if row["source"] == source and row["true_success"] == outcome]
                if recorded:
                    figures += alignment_shares(f"{where}, {such} of source {source}", recorded)
    return figures


def imagined_figures(where: str, rows: list[dict], target: bool = False) -> list[Figure]:
    """Pictures and outcomes of these imagined episodes, against the targets where `target`."""

    def least(value: float) -> float | None:
        return value if target else None

    return [
        mean(f"{where}: SSIM", rows, "ssim", "", least(SSIM)),
        mean(f"{where}: PSNR", rows, "psnr", "dB", least(PSNR_DB)),
        mean(f"{where}: PSNR of the first frame repeated", rows, "static_psnr", "dB"),
        mean(f"{where}: FLIP, a distance", rows, "flip", ""),
        *alignment_shares(where, rows, least(VISUAL), least(REWARD)),
    ]


def alignment_shares(
    where: str, rows: list[dict], visual: float | None = None, reward: float | None = None
) -> list[Figure]:
    """How often the judge, on imagined frames, and the reward head tell the true outcome, and how often the judge does
    on the real ones: no visual alignment means more than that. `visual` and `reward` are targets."""
    return [
        share(f"{where}: visual alignment", _agreement(rows, "judged_success_imagined"), visual),
        share(f"{where}: reward alignment", _agreement(rows, "reward_success"), reward),
        share(f"{where}: the judge on real frames", _agreement(rows, "judged_success_real")),
    ]


def _agreement(rows: list[dict], column: str) -> dict:
    return proportion(sum(row[column] == row["true_success"] for row in rows), len(rows))


def mean(name: str, rows: list[dict], column: str, unit: str, at_least: float | None = None) -> Figure:
    """The mean over episodes, with its normal 95 % interval where there are two or more."""
    values = [row[column] for row in rows]
    middle = statistics.fmean(values)
    half = Z_95 * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    interval = None if half is None else (middle - half, middle + half)
    return judged(name, middle, unit, len(values), interval, at_least)


def policy_figures(
    evidence: Evidence, campaign: str, gains: dict[str, float], least: float | None = None
) -> list[Figure]:
    """Success of base and new policies on the same held-out seeds, over all tasks and per task.

    `gains` are the targets of the gain over the base by iteration, `least` that of the task that gains least.
    """
    found = evidence.evaluations(campaign)
    if not found:
        return []
    figures = _rates(f"{campaign}: success of the base policy", found[0].base)
    for one in found:
        where = f"{campaign} iteration {one.iteration}"
        figures += _rates(f"{where}: success of the policy", one.new)
        figures += gain_figures(f"{where}: gain over the base policy", one, gains.get(one.iteration), least)
    for before, after in zip(found, found[1:], strict=False):
        name = f"{campaign}: gain of iteration {after.iteration} over {before.iteration}"
        figures.append(rises(f"{name}, {ALL}", gain(before.new, after.new)))
        figures += [
            difference(f"{name}, {task}", gain(of_task(before.new, task), of_task(after.new, task)))
            for task in tasks_of(after.new)
        ]
    return figures


def gain_figures(name: str, one: Evaluation, target: float | None, least: float | None) -> list[Figure]:
    """The gain over all tasks (as many seeds each, so the mean over tasks), per task, and the least of them."""
    by_task = {task: gain(of_task(one.base, task), of_task(one.new, task)) for task in tasks_of(one.new)}
    worst = min(by_task, key=lambda task: by_task[task]["difference"])
    return [
        difference(f"{name}, {ALL}", gain(one.base, one.new), target),
        *(difference(f"{name}, {task}", value) for task, value in by_task.items()),
        difference(f"{name}, the task that gains least", by_task[worst], least) | {"task": worst},
    ]


def base_figures(campaign: str, outcomes: Outcomes) -> list[Figure]:
    """On how many seeds of every task policies are compared, and whether the base policy leaves each room to learn."""
    by_task = {task: success(of_task(outcomes, task)) for task in tasks_of(outcomes)}
    lowest, highest = (choose(by_task, key=lambda task: by_task[task]["rate"]) for choose in (min, max))
    seeds = min(one["n"] for one in by_task.values())
    name = f"{campaign}: success of the base policy, the task that starts"
    return [
        judged(f"{campaign}: held-out seeds of every task", seeds, "seeds", at_least=SEEDS),
        share(f"{name} lowest", by_task[lowest], at_least=BASE_AT_LEAST) | {"task": lowest},
        share(f"{name} highest", by_task[highest], at_most=BASE_AT_MOST) | {"task": highest},
    ]


def _rates(name: str, outcomes: Outcomes) -> list[Figure]:
    return [share(f"{name}, {task or ALL}", success(of_task(outcomes, task))) for task in (None, *tasks_of(outcomes))]


def hour_figures(evidence: Evidence, campaign: str) -> list[Figure]:
    """Hours of every complete iteration, and of what is made once before them."""
    once = [name for name, node in GRAPH.items() if node.scope == "campaign" and not node.feedback_from]
    each = [name for name, node in GRAPH.items() if node.scope == "iteration" and not node.feedback_from]
    figures: list[Figure] = []
    if campaign not in evidence.measured:
        return figures
    measured = evidence.measured[campaign]
    for iteration, assets in [("", once), *((one, each) for one in measured.closed)]:
        names = [named(asset, iteration) for asset in assets]
        if measured.seconds.keys() >= set(names):
            hours = sum(measured.seconds[name] for name in names) / 3600
            name = f"{campaign} iteration {iteration}: all assets" if iteration else f"{campaign}: once a campaign"
            figures.append(figure(name, hours, "hours", at_most=HOURS if iteration else None))
    return figures
