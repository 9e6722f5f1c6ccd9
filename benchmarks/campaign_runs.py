"""Running the campaigns of a benchmark, and what its protocol says of them.

The runs take many nights, so they happen in the project's own home (or the one that is named) and go on where they
were: what is fresh is not run again. Homes of other machines add to the same report, one after the other.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.campaign_evidence import Evidence, gather
from benchmarks.campaign_home import Plan
from benchmarks.campaign_measurements import CAMPAIGNS, Evaluation
from benchmarks.outcomes import tasks_of
from benchmarks.result import write
from worldvla import campaigns
from worldvla.cli.carry_out import EXIT_FAILED, EXIT_GATE
from worldvla.errors import UserError, told
from worldvla.lake.digests import digest
from worldvla.lake.store import Lake

Report = Callable[[Evidence], tuple[dict[str, Any], list[dict[str, Any]]]]


def main(name: str, plan: Plan, report: Report) -> None:
    """Runs the planned campaigns unless `--report` is given, then writes what `report` says of what is there.

    `report` returns what belongs into the protocol besides what every benchmark of campaigns has, and the figures.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("home", nargs="?", type=Path, help="the home of all data; WORLDVLA_HOME, or var, when left out")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--report", action="store_true", help="run nothing: report what the home holds, and what is kept"
    )
    instead.add_argument("--kept", action="store_true", help="report what is kept of homes, and look at none")
    given = parser.parse_args()
    if given.home:
        os.environ["WORLDVLA_HOME"] = str(given.home.resolve())
        os.environ.pop("DAGSTER_HOME", None)
    with told():
        ended = {} if given.report or given.kept else run(plan)
        evidence = gather(None if given.kept else Lake.default(), plan, CAMPAIGNS)
        own, figures = report(evidence)
        if not figures:
            raise UserError("nothing of these campaigns is fresh yet: " + "; ".join(map(str, evidence.missing)))
        print(write(name, protocol(evidence) | own, figures))
    for one in evidence.missing:
        print(f"missing: {one}")
    for name, status in ended.items():
        how = "stopped by a gate" if status == EXIT_GATE else "did not complete; the same command goes on"
        print(f"{name}: {how}", file=sys.stderr)
    if ended:
        raise SystemExit(EXIT_FAILED if EXIT_FAILED in ended.values() else EXIT_GATE)


def run(plan: Plan) -> dict[str, int]:
    """`worldvla loop` of each campaign in turn; returns the exit status of those that did not reach their end.

    A gate or a failed asset ends its campaign alone; anything else, a mistake in the settings or a signal, ends all.
    A loop ends with the benchmark: left behind, it would hold its campaign against the command that goes on.
    """
    ended = {}
    mine = [sys.executable, "-m", "benchmarks.ending_with", str(os.getpid())]
    for name, iterations in plan.items():
        loop = [sys.executable, "-m", "worldvla.cli.main", "loop", "--campaign", name, "--iterations", str(iterations)]
        status = subprocess.run([*mine, *loop]).returncode
        if status in (EXIT_FAILED, EXIT_GATE):
            ended[name] = status
        elif status:
            raise SystemExit(status if status > 0 else 128 - status)
    return ended


def protocol(evidence: Evidence) -> dict[str, Any]:
    """Settings, conditions of every measurement, seconds by asset, exploitation, gates, and what is missing."""
    first, *others = evidence.plan
    settings = {name: campaigns.load(name).model_dump(mode="json") for name in evidence.plan}
    evaluations = {name: found for name in evidence.plan if (found := evidence.evaluations(name))}
    return {
        "iterations": dict(evidence.plan),
        "settings": {first: settings[first], **{name: differing(settings[name], settings[first]) for name in others}},
        "settings of the other campaigns": f"what differs from {first}",
        "targets": "a figure holds when its value reaches the target, `interval_holds` when its whole 95 % interval "
        "does; the gain of an iteration over the one before holds when its interval is above zero",
        "intervals": "95 %: Wilson for rates, Newcombe's for pairs for gains, normal for means",
        "measured": {
            name: {"date": one.date, "commit": one.commit, "machine": one.machine}
            for name, one in evidence.measured.items()
        },
        "evaluation": {name: _evaluated(found) for name, found in evaluations.items()},
        "alignment": {
            f"{name} {iteration}": one.protocol
            for name in evidence.plan
            for iteration, one in evidence.alignments(name).items()
        },
        "exploitation": {
            f"{one.campaign} {one.iteration}": one.exploitation for found in evaluations.values() for one in found
        },
        "gates that failed": {
            f"{name} {asset}": why for name, one in evidence.measured.items() for asset, why in one.gates.items()
        },
        "seconds": "as each asset took when it was computed; what campaigns share was computed once",
        "seconds by asset": {name: one.seconds for name, one in evidence.measured.items()},
        "missing": list(map(str, evidence.missing)),
    }


def differing(settings: Any, other: Any) -> Any:
    """Those of nested settings that differ from the other ones."""
    if not isinstance(settings, dict) or not isinstance(other, dict):
        return settings
    return {key: differing(value, other.get(key)) for key, value in settings.items() if value != other.get(key)}


def _evaluated(found: list[Evaluation]) -> dict[str, Any]:
    first = found[0]
    seeds = {task: [seed for name, seed in first.new if name == task] for task in tasks_of(first.new)}
    spans = {task: {"n": len(some), "first": some[0], "last": some[-1]} for task, some in seeds.items()}
    return {**first.protocol, "digest": digest(first.protocol), "seeds": spans, "seed_set": digest(seeds)}
