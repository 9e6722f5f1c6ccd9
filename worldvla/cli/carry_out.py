"""Carrying out a plan: each run in a Dagster process of its own, and how it ended in words.

`worldvla` knows nothing of Dagster, so a run is `python -m pipelines.launch …` in the
project's folder; it writes to standard error alone.
"""

import subprocess
import sys
import time

import typer

from worldvla.cli.output import say
from worldvla.home import project_root
from worldvla.lake.store import Lake
from worldvla.planner.execute import Outcome, execute
from worldvla.planner.observe import snapshot
from worldvla.planner.plan import Run, Selection

EXIT_FAILED = 1
EXIT_GATE = 3


def carry_out(campaigns: list[str], selection: Selection, iterations: int, again: str) -> Outcome:
    """Runs what `selection` needs until nothing is left; `again` is the command that goes on after a failure.

    Ends the command with status 1 when an asset failed, and 3 when a gate keeps the rest back.
    """
    lake = Lake.default()
    outcome = execute(lambda: snapshot(lake, campaigns, iterations).assess(), selection, launch, announce)
    if outcome.status == "failed":
        failed = outcome.failed_asset or "the run"
        say(f"{failed} of {_where(outcome.failed_run)} did not complete; its reason is above.")
        say(f"What was published stays. To go on: {again}")
        raise typer.Exit(EXIT_FAILED)
    if outcome.status == "gate":
        say(outcome.blocked[0].reason)
        say("The policy was not trained. Train the world model longer or on more episodes, or change alignment.gate.")
        raise typer.Exit(EXIT_GATE)
    return outcome


def launch(run: Run) -> int:
    """Executes one run through Dagster and returns its exit status."""
    command = [sys.executable, "-m", "pipelines.launch", "--campaign", run.campaign]
    command += ["--iteration", run.iteration, "--assets", ",".join(run.assets)]
    begin = time.monotonic()
    status = subprocess.run(command, cwd=project_root(), stdin=subprocess.DEVNULL, stdout=sys.stderr).returncode
    say(f"  {'done' if status == 0 else f'ended with status {status}'} in {time.monotonic() - begin:.0f} s")
    return status


def announce(run: Run, left: int) -> None:
    more = f", {left - 1} more run{'s' * (left > 2)} after it" if left > 1 else ""
    say(f"{_where(run)}: {', '.join(run.assets)}{more}")


def _where(run: Run | None) -> str:
    if run is None:
        return "?"
    return f"{run.campaign} iteration {run.iteration}" if run.iteration else run.campaign
