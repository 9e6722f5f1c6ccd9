"""`make benchmark-audit`: every audit over 1,000,000 episodes, 100 iterations, 10,000 membership rows a model.

Each audit runs in fresh processes on two cores: the time of `run_audit` alone, without Python's
imports, is what the target is for; the whole command's time, with --json, stands beside it. The
same at 10,000 and 100,000 episodes shows how it grows. The files are in the operating system's
cache, as after any earlier command. `python -m benchmarks.audit EPISODES` measures one size and
writes nothing.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.audit_lake import ALIGNED, CAMPAIGN, EVALUATED, IMPORT, MEMBERSHIP, TASKS, build
from benchmarks.result import figure, write
from worldvla.lake.query import audits, run_audit
from worldvla.lake.retractions import retract_episodes
from worldvla.lake.store import Lake

SIZES = {10_000: 1, 100_000: 10, 1_000_000: 100}  # episodes: iterations
CORES = 2
RUNS = 5
TARGET_SECONDS = 2.0
# What a fresh process does: imports, then the clock.
CHILD = """
import json, re, sys, time
from pathlib import Path
from worldvla.lake.query import run_audit
from worldvla.lake.store import Lake
root, name, parameters, as_of = json.loads(sys.argv[1])
begin, used = time.perf_counter(), time.process_time()
rows = len(run_audit(Lake(Path(root)), name, parameters, as_of))
seconds, used = time.perf_counter() - begin, time.process_time() - used
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(json.dumps([seconds, used, rows, int(peak[1]) / 2**20]))
"""


def main() -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    sizes = [int(sys.argv[1])] if len(sys.argv) > 1 else list(SIZES)
    load = os.getloadavg()[0]
    figures = [one for size in sizes for one in measured(size, SIZES[size])]
    if len(sys.argv) == 1:
        protocol = {
            "sizes": {f"{episodes} episodes": f"{iterations} iterations" for episodes, iterations in SIZES.items()},
            "membership rows a model": MEMBERSHIP,
            "evaluated episodes a policy": EVALUATED,
            "aligned episodes a world model": ALIGNED,
            "cores": CORES,
            "processes an audit": RUNS,
            "value": "median over processes; interval: fastest and slowest",
            "seconds": "run_audit alone, imports before it; 'command' is the whole of `worldvla audit … --json`",
            "lake": "one Lance version and file an iteration and table; publications are files of one row",
            "processor time": "median, both cores together: what other work on the machine does not lengthen",
            "cache": "warm",
            "load average before": round(load, 2),
        }
        print(write("audit", protocol, figures))
        return
    for one in figures:
        print(f"{one['name']}: {one['value']:.3f} {one['unit']} {one['interval'] or ''}")


def measured(episodes: int, iterations: int) -> list[dict]:
    """The figures of one size; those of the largest have targets."""
    home = Path(tempfile.mkdtemp(prefix="worldvla-benchmark-"))
    largest = episodes == max(SIZES)
    try:
        lake = Lake(home / "lake")
        begin = time.perf_counter()
        build(lake, episodes, iterations)
        figures = [figure(f"building the lake, {episodes:,} episodes", time.perf_counter() - begin, "seconds")]
        some = lake.read("episodes", ["episode_id"], "seed >= 1000 AND seed < 1100")["episode_id"].to_pylist()
        retract_episodes(lake, some, "camera moved")
        memory = 0.0
        for label, (name, parameters, as_of) in questions(lake, iterations).items():
            seconds, used, rows, peak = asked(lake, name, parameters, as_of)
            memory = max(memory, peak)
            interval = (min(seconds), max(seconds))
            limit = TARGET_SECONDS if largest else None
            where = f"{label}, {episodes:,} episodes"
            middle = statistics.median(seconds)
            figures.append(figure(where, middle, "seconds", rows, interval, at_most=limit))
            if largest:
                figures.append(figure(f"{where}, processor time", used, "seconds"))
                figures.append(figure(f"{where}, command", command(home, name, parameters, as_of), "seconds"))
        figures.append(figure(f"most memory of an audit, {episodes:,} episodes", memory, "GiB", at_most=4))
        return figures
    finally:
        shutil.rmtree(home)


def questions(lake: Lake, iterations: int) -> dict[str, tuple[str, dict[str, str], str | None]]:
    """Every audit there is, at its widest or as a person would ask it: label, then name, parameters, night."""
    last, middle = f"{CAMPAIGN}/{iterations - 1}", f"{CAMPAIGN}/{iterations // 2}"
    [episode] = run_audit(lake, "episodes_of", {"source": "expert", "seeds": "0"})["episode_id"].to_list()
    imported = run_audit(lake, "episodes_of", {"source": "import"})["episode_id"][0]
    asked: dict[str, dict[str, str]] = {
        "failures_that_trained": {"model": last},
        "models_trained_on": {"episode": episode},
        "lineage": {"policy": last},
        "loop_progress": {"campaign": CAMPAIGN},
        "near_success": {"campaign": CAMPAIGN, "iteration": str(iterations - 1)},
        "protocols": {},
        "interaction": {},
        "origin_of": {"episode": imported},
        "models_trained_on_file": {"file": IMPORT},
        "measured_with": {"policy": last},
        "compare_policies": {"policy": last, "against": f"{CAMPAIGN}/base_policy"},
        "compare_world_models": {"model": last, "against": middle},
        "training_set": {"model": last},
        "training_difference": {"model": last, "against": middle},
        "training_difference_counts": {"model": last, "against": middle},
        "retracted": {},
        "tables": {},
        "episodes_of": {"policy": middle},
        "downstream_of": {"policy": middle},
    }
    assert set(asked) == set(audits()), "an audit is not measured"
    found: dict[str, tuple[str, dict[str, str], str | None]] = {
        name: (name, parameters, None) for name, parameters in asked.items()
    }
    by_task = {"task": TASKS[0], "seeds": "0-100000"}
    night = {"after": "2026-01-01T00:01", "before": "2026-01-01T00:30"}
    for name in ("episodes_of", "downstream_of"):
        found[f"{name} a task's seeds"] = (name, by_task, None)
        found[f"{name} some nights"] = (name, night, None)
    found["failures_that_trained as of a night"] = ("failures_that_trained", {"model": middle}, middle)
    found["tables as of a night"] = ("tables", {}, middle)
    return found


def asked(
    lake: Lake, name: str, parameters: dict[str, str], as_of: str | None
) -> tuple[list[float], float, int, float]:
    """Seconds of each process, their median processor time, the answer's rows, and the most memory in GiB."""
    question = json.dumps([str(lake.root), name, parameters, as_of])
    answers = []
    for _ in range(RUNS):
        done = subprocess.run([sys.executable, "-c", CHILD, question], capture_output=True, text=True, check=True)
        answers.append(json.loads(done.stdout))
    seconds, used, rows, peaks = zip(*answers, strict=True)
    return list(seconds), statistics.median(used), rows[0], max(peaks)


def command(home: Path, name: str, parameters: dict[str, str], as_of: str | None) -> float:
    """Seconds of the whole command, from the shell's point of view."""
    arguments = [sys.executable, "-m", "worldvla.cli.main", "audit", name, "--json"]
    arguments += [part for key, value in parameters.items() for part in (f"--{key}", value)]
    arguments += ["--as-of", as_of] if as_of else []
    begin = time.perf_counter()
    subprocess.run(arguments, env=os.environ | {"WORLDVLA_HOME": str(home)}, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
