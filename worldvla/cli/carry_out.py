"""Carrying out a plan: each run in a Dagster process of its own, and how it ended in words.

`worldvla` knows nothing of Dagster, so a run is `python -m pipelines.launch …` in the
project's folder; it writes to standard error alone. It keeps the campaigns' locks open and
ends when this process does, so a killed command leaves nothing running that the next one
would meet. A run that a Dagster server executes (`--via`) is the server's, and goes on.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from worldvla.cli.output import say
from worldvla.errors import EXIT_USER_ERROR
from worldvla.home import environment, project_root
from worldvla.locks import campaign_lock
from worldvla.services import check_databases

if TYPE_CHECKING:
    from worldvla.planner.execute import Outcome
    from worldvla.planner.plan import Run, Selection

EXIT_FAILED = 1
EXIT_GATE = 3

Via = Annotated[
    str | None,
    typer.Option(
        metavar="URL", envvar="WORLDVLA_VIA", help="Let the running Dagster with this web server execute the runs."
    ),
]


def carry_out(
    iterations: Mapping[str, int], selection: "Selection", again: str, via: str | None = None
) -> tuple["Outcome", int]:
    """Runs what `selection` needs until nothing is left, holding the campaigns, of each at least so many `iterations`.

    Runs are executed here, or by the running Dagster whose web server is at `via`. Returns
    how it ended and the command's exit status: 1 when an asset failed (`again` is
    the command that goes on), 3 when a gate keeps the rest back.
    """
    from worldvla.lake.store import Lake
    from worldvla.planner.execute import execute
    from worldvla.planner.observe import snapshot

    check_databases()
    lake = Lake.default()
    with ExitStack() as stack:
        locks = [stack.enter_context(campaign_lock(name)) for name in sorted(iterations)]
        outcome = execute(
            lambda: snapshot(lake, iterations, iterations).assess(), selection, partial(launch, locks, via), announce
        )
    if outcome.status == "failed":
        failed = outcome.failed_asset or "the run"
        say(f"{failed} of {_where(outcome.failed_run)} did not complete; its reason is above.")
        say(f"What was published stays. To go on: {again}" + (f" --via {via}" if via else ""))
        return outcome, EXIT_FAILED
    if outcome.status == "gate":
        say(outcome.blocked[0].reason)
        say("The policy was not trained. Train the world model longer or on more episodes, or change alignment.gate.")
        return outcome, EXIT_GATE
    return outcome, 0


def launch(locks: list[int], via: str | None, run: "Run") -> int:
    """Executes one run through Dagster and returns its exit status; ends the command where that is a user's mistake."""
    command = [sys.executable, "-m", "pipelines.launch", "--parent", str(os.getpid()), "--campaign", run.campaign]
    command += ["--iteration", run.iteration, "--assets", ",".join(run.assets)]
    command += ["--via", via] if via else []
    begin = time.monotonic()
    status = subprocess.run(
        command, cwd=project_root(), env=environment(), stdin=subprocess.DEVNULL, stdout=sys.stderr, pass_fds=locks
    ).returncode
    if status == EXIT_USER_ERROR:
        raise typer.Exit(EXIT_USER_ERROR)
    say(f"  {_ended(status)} in {time.monotonic() - begin:.0f} s")
    return status


def _ended(status: int) -> str:
    """A process that was killed says nothing of why: where it was the kernel, for want of memory, only its log does."""
    if status >= 0:
        return f"ended with status {status}" if status else "done"
    killed = f"killed by {signal.Signals(-status).name}"
    return f"{killed} (for want of memory, if nobody did it: `dmesg` says)" if status == -signal.SIGKILL else killed


def announce(run: "Run", left: int) -> None:
    more = f", {left - 1} more run{'s' * (left > 2)} after it" if left > 1 else ""
    say(f"{_where(run)}: {', '.join(run.assets)}{more}")


def _where(run: "Run | None") -> str:
    if run is None:
        return "?"
    return f"{run.campaign} iteration {run.iteration}" if run.iteration else run.campaign
