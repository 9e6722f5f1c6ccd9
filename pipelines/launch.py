"""Executes one planned run: `python -m pipelines.launch --campaign C --iteration 0000 --assets a,b`.

The command line starts this in a process of its own, because `worldvla/` knows nothing of
Dagster. The run is a Dagster run like any other: it shows in the UI with its logs, checks
and metadata. With `--via URL` a running Dagster executes it (`pipelines.server`), otherwise
this process does. Exit status: 0 done, 1 an asset failed, 2 a mistake that the message names,
3 a gate did not pass.
"""

import argparse
import ctypes
import logging
import os
import signal
import sys
import warnings
from typing import TYPE_CHECKING

from worldvla.errors import EXIT_USER_ERROR, UserError

if TYPE_CHECKING:
    from pipelines.failures import Problem

EXIT_FAILED = 1
EXIT_GATE = 3
EXIT_INTERRUPTED = 130
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> int:
    # Readers of the terminal want the asset that failed, not how Dagster's beta APIs may change.
    warnings.filterwarnings("ignore")
    arguments = _arguments()
    if arguments.parent:
        end_with(arguments.parent)
    for noisy in ("alembic", "mlflow", "py.warnings", "gql", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    assets = arguments.assets.split(",")
    try:
        if not arguments.via:
            return report(*_here(arguments.campaign, arguments.iteration, assets))
        from pipelines.dead_runs import settle_dead_runs
        from pipelines.instance import open_instance
        from pipelines.server import execute

        with open_instance() as instance:
            settle_dead_runs(instance)  # the server would have this command wait for a run that a killed one left
        return report(*execute(arguments.via, arguments.campaign, arguments.iteration, assets))
    except (UserError, OSError) as error:
        from worldvla.lake.faults import in_words

        if (words := in_words(error)) is None:
            raise
        print(f"error: {words}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def report(run_id: str, success: bool, problems: "list[Problem]") -> int:
    """Says on standard error what failed and why; returns the exit status."""
    for problem in problems:
        what = "a gate of " if problem.gate else ""
        print(f"{what}{problem.asset or 'run'} failed in run {run_id}:\n{problem.text}", file=sys.stderr)
    if success:
        return 0
    return EXIT_GATE if problems and all(problem.gate for problem in problems) else EXIT_FAILED


def _here(campaign: str, iteration: str, assets: list[str]) -> "tuple[str, bool, list[Problem]]":
    """Executes the run in this process."""
    import dagster as dg

    from assets.definitions import ASSETS
    from assets.partitions import partition_key
    from pipelines.dead_runs import settle_dead_runs, this_process
    from pipelines.failures import of_events
    from pipelines.instance import add_partitions, open_instance
    from pipelines.no_pickle import RESOURCES
    from pipelines.runs import served_run

    with open_instance() as instance, this_process(instance) as process:
        settle_dead_runs(instance)
        served = served_run(instance, campaign)
        if served is not None:
            raise UserError(
                f"campaign {campaign}: run {served.run_id} of the Dagster server is {served.status.value.lower()}; "
                "wait for it, end it in the UI, or go through the server with --via URL"
            )
        add_partitions(instance, campaign, iteration)
        result = dg.materialize(
            ASSETS,
            selection=dg.AssetSelection.assets(*assets),
            partition_key=partition_key(campaign, iteration),
            instance=instance,
            resources=RESOURCES,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags=process,
        )
    return result.run_id, result.success, of_events(result.all_events)


def end_with(parent: int) -> None:
    """Lets the kernel kill this process, also after an exec, when its parent ends, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the process that asked for this run has ended")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipelines.launch")
    parser.add_argument("--campaign", required=True)
    parser.add_argument("--iteration", default="", help="for example 0000; empty for what a campaign needs once")
    parser.add_argument("--assets", required=True, help="asset names, comma-separated")
    parser.add_argument("--parent", type=int, default=0, help="end when this process, which must be the parent, ends")
    parser.add_argument("--via", default="", metavar="URL", help="let the Dagster whose web server this is execute it")
    return parser.parse_args()


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # Simulator and MLflow threads may linger; everything is committed by now.
    os._exit(status)
