"""`make benchmark-demo`: the demo's two iterations from a clean home, then once more at once.

Reports how long both take, whether the models are more than decoration (reward alignment on
held-out episodes balanced by outcome, PSNR at the last step of whole-episode rollouts), and
what the policies reach in the real simulator. The set-up is not in the time.
`python -m benchmarks.demo HOME` reports on the demo that HOME holds already, without its time; what is stale in it is
made anew first.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.result import figure, write
from worldvla.campaigns import load
from worldvla.lake.materializations import latest
from worldvla.lake.store import Lake

CAMPAIGN = "demo"
ITERATIONS = ("0000", "0001")


def main() -> None:
    if len(sys.argv) > 1:
        report(Path(sys.argv[1]).resolve(), None)
        return
    home = Path(tempfile.mkdtemp(prefix="worldvla-benchmark-"))
    try:
        report(home, timed_loop(home))
    finally:
        shutil.rmtree(home)


def timed_loop(home: Path) -> float:
    """Seconds of `worldvla loop` in this home."""
    begin = time.monotonic()
    command = [sys.executable, "-m", "worldvla.cli.main", "loop", "--campaign", CAMPAIGN]
    command += ["--iterations", str(len(ITERATIONS))]
    environment = {key: value for key, value in os.environ.items() if key != "DAGSTER_HOME"}
    subprocess.run(command, env=environment | {"WORLDVLA_HOME": str(home)}, check=True)
    return time.monotonic() - begin


def report(home: Path, first: float | None) -> None:
    """`first`: seconds of the demo from a clean home, None where nobody measured them."""
    lake = Lake(home / "lake")
    figures = [] if first is None else [figure("two iterations", first / 60, "minutes", at_most=22.5)]
    before = latest(lake) if lake.exists("materializations") else {}
    again, records = timed_loop(home), latest(lake)
    if records == before:
        figures.append(figure("again, all fresh", again, "seconds", at_most=30))
    for iteration in ITERATIONS:
        summary = records["alignment", CAMPAIGN, iteration].details["summary"]
        details = records["evaluation", CAMPAIGN, iteration].details
        where = f"iteration {iteration}"
        figures += [
            share(f"{where}: reward alignment", summary["reward_alignment"], at_least=0.5),
            share(f"{where}: visual alignment", summary["visual_alignment"]),
            share(f"{where}: judge on real frames", summary["judge_accuracy_real"]),
            figure(f"{where}: PSNR at the last step", summary["psnr_last"], "dB", n=summary["n"], at_least=20),
            figure(
                f"{where}: first frame repeated, PSNR at the last step", summary["static_psnr_last"], "dB", summary["n"]
            ),
            figure(f"{where}: SSIM", summary["ssim"], "", n=summary["n"]),
            share(f"{where}: success of the base policy", details["base"]),
            share(f"{where}: success of the new policy", details["new"]),
            difference(f"{where}: new less base, same seeds", details["difference"]),
        ]
    spent = {
        f"{asset} {iteration}".strip(): round(record.seconds, 1)
        for (asset, campaign, iteration), record in records.items()
        if campaign == CAMPAIGN
    }
    protocol = {
        "campaign": load(CAMPAIGN).model_dump(mode="json"),
        "alignment": records["alignment", CAMPAIGN, "0001"].details["protocol"],
        "evaluation": records["evaluation", CAMPAIGN, "0001"].details["protocol"],
        "seconds by asset": spent,
    }
    print(write("demo", protocol, figures))


def share(name: str, rate: dict, at_least: float | None = None) -> dict:
    return figure(name, rate["rate"], "share", rate["n"], (rate["low"], rate["high"]), at_least=at_least)


def difference(name: str, value: dict) -> dict:
    return figure(name, value["difference"], "share", value["n"], (value["low"], value["high"]))


if __name__ == "__main__":
    main()
