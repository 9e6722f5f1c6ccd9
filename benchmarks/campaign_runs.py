"""Running the campaigns of a benchmark, and what its protocol says of them.

The runs take many nights, so they happen in the project's own home (or the one that is named) and go on where they
were: what is fresh is not run again.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.campaign_evidence import Evidence, Plan, evaluations, look, tasks_of
from benchmarks.result import write
from worldvla import campaigns
from worldvla.cli.carry_out import EXIT_FAILED, EXIT_GATE, EXIT_USER_ERROR
from worldvla.errors import UserError
from worldvla.lake.digests import digest
from worldvla.lake.store import Lake
from worldvla.planner.partitions import iteration_key

Report = Callable[[Evidence], tuple[dict[str, Any], list[dict[str, Any]]]]


def main(name: str, plan: Plan, report: Report) -> None:
    """Runs the planned campaigns unless `--report` is given, then writes what `report` says of what is there.

    `report` returns what belongs into the protocol besides what every benchmark of campaigns has, and the figures.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("home", nargs="?", type=Path, help="the home of all data; WORLDVLA_HOME, or var, when left out")
    parser.add_argument("--report", action="store_true", help="run nothing: report what the home holds")
    given = parser.parse_args()
    if given.home:
        os.environ["WORLDVLA_HOME"] = str(given.home.resolve())
        os.environ.pop("DAGSTER_HOME", None)
    try:
        ended = {} if given.report else run(plan)
        evidence = look(Lake.default(), plan)
        own, figures = report(evidence)
        if not figures:
            raise UserError("nothing of these campaigns is fresh yet: " + "; ".join(evidence.missing))
        print(write(name, protocol(evidence) | own, figures))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(EXIT_USER_ERROR) from None
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
    return {
        "iterations": dict(evidence.plan),
        "settings": {first: settings[first], **{name: differing(settings[name], settings[first]) for name in others}},
        "settings of the other campaigns": f"what differs from {first}",
        "targets": "a figure holds when its value reaches the target, `interval_holds` when its whole 95 % interval "
        "does; the gain of an iteration over the one before holds when its interval is above zero",
        "intervals": "95 %: Wilson for rates, Newcombe's for pairs for gains, normal for means",
        "evaluation": {name: found for name in evidence.plan if (found := _evaluated(evidence, name))},
        "alignment": _details(evidence, "alignment", "protocol"),
        "exploitation": _details(evidence, "evaluation", "exploitation"),
        "gates that failed": {
            " ".join(key[1:]): record.blocking_failure
            for key, record in sorted(evidence.records.items())
            if record.blocking_failure
        },
        "seconds": "as each asset took when it was computed; what campaigns share was computed once",
        "seconds by asset": {
            name: {
                f"{asset} {iteration}".strip(): round(record.seconds, 1)
                for (asset, campaign, iteration), record in evidence.records.items()
                if campaign == name
            }
            for name in evidence.plan
        },
        "missing": evidence.missing,
    }


def differing(settings: Any, other: Any) -> Any:
    """Those of nested settings that differ from the other ones."""
    if not isinstance(settings, dict) or not isinstance(other, dict):
        return settings
    return {key: differing(value, other.get(key)) for key, value in settings.items() if value != other.get(key)}


def _evaluated(evidence: Evidence, campaign: str) -> dict[str, Any] | None:
    found = evaluations(evidence, campaign)
    if not found:
        return None
    seeds = {task: [seed for name, seed in found[0].new if name == task] for task in tasks_of(found[0].new)}
    spans = {task: {"n": len(some), "first": some[0], "last": some[-1]} for task, some in seeds.items()}
    return {**found[0].protocol, "digest": digest(found[0].protocol), "seeds": spans, "seed_set": digest(seeds)}


def _details(evidence: Evidence, asset: str, name: str) -> dict[str, Any]:
    """A field of an asset's details, by campaign and iteration."""
    return {
        f"{campaign} {iteration}": evidence.records[asset, campaign, iteration].details.get(name)
        for campaign, count in evidence.plan.items()
        for iteration in map(iteration_key, range(count))
        if (asset, campaign, iteration) in evidence.records
    }
