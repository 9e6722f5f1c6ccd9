"""Executes one planned run: `python -m pipelines.launch --campaign C --iteration 0000 --assets a,b`.

The command line starts this in a process of its own, because `worldvla/` knows nothing of
Dagster. The run is a Dagster run like any other: it shows in the UI with its logs, checks
and metadata. Exit status: 0 done, 1 an asset failed, 3 a gate did not pass.
"""

import argparse
import ctypes
import logging
import os
import signal
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

EXIT_FAILED = 1
EXIT_GATE = 3
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> int:
    # Readers of the terminal want the asset that failed, not how Dagster's beta APIs may change.
    warnings.filterwarnings("ignore")
    arguments = _arguments()
    if arguments.parent:
        _end_with(arguments.parent)

    import dagster as dg

    from assets.definitions import ASSETS
    from assets.partitions import partition_key
    from pipelines.dead_runs import settle_dead_runs, this_process
    from pipelines.instance import add_partitions, open_instance

    for noisy in ("alembic", "mlflow", "py.warnings"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    with open_instance() as instance, this_process(instance) as process:
        settle_dead_runs(instance)
        add_partitions(instance, arguments.campaign, arguments.iteration)
        result = dg.materialize(
            ASSETS,
            selection=dg.AssetSelection.assets(*arguments.assets.split(",")),
            partition_key=partition_key(arguments.campaign, arguments.iteration),
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags={"worldvla/campaign": arguments.campaign, "worldvla/iteration": arguments.iteration, **process},
        )
    return _report(result)


def _end_with(parent: int) -> None:
    """Lets the kernel kill this process when its parent ends, however that ends: nobody would wait for the run."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the process that asked for this run has ended")


def _report(result: "dg.ExecuteInProcessResult") -> int:
    """Says on standard error what failed and why; returns the exit status."""
    if result.success:
        return 0
    failures = [event for event in result.all_events if event.is_step_failure]
    for event in failures:
        error = event.step_failure_data.error
        cause = error.cause or error
        print(f"{event.step_key} failed in run {result.run_id}:\n{cause.message.strip()}", file=sys.stderr)
        if cause.cls_name not in ("Failure", "UserError"):
            print("".join(cause.stack[-4:]), file=sys.stderr)
    gates = [check for check in result.get_asset_check_evaluations() if not check.passed]
    for check in gates:
        print(f"check {check.check_name} of {check.asset_key.to_user_string()}: {check.description}", file=sys.stderr)
    return EXIT_FAILED if failures or not gates else EXIT_GATE


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipelines.launch")
    parser.add_argument("--campaign", required=True)
    parser.add_argument("--iteration", default="", help="for example 0000; empty for what a campaign needs once")
    parser.add_argument("--assets", required=True, help="asset names, comma-separated")
    parser.add_argument("--parent", type=int, default=0, help="end when this process, which must be the parent, ends")
    return parser.parse_args()


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # Simulator and MLflow threads may linger; everything is committed by now.
    os._exit(status)
