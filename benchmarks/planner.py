"""`make benchmark-planner`: `worldvla status` over 10 campaigns of 10, 100 and 1,000 iterations.

The lakes hold what the planner reads of real ones: every node's record, every episode set
and its episodes, 50 rollouts an iteration. Measured are the whole command from a cold start
(`status --json`, its output read), the planner's function alone (states from what was read),
and `rematerialize --dry-run`; with everything fresh, after one episode of a first iteration
was retracted, and with everything stale. Each is the fastest of several runs, because other
work on the machine only ever adds time; processor seconds stand beside.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.planner_lake import build, campaigns_text
from benchmarks.result import figure, write
from worldvla.home import campaigns_file
from worldvla.lake.episodes import set_members
from worldvla.lake.materializations import latest
from worldvla.lake.retractions import retract_episodes
from worldvla.lake.store import Lake
from worldvla.planner.observe import snapshot

CAMPAIGNS = 10
ITERATIONS = (10, 100, 1000)
EPISODES = 50
RUNS = 5
TARGET_SECONDS = 3.0


def main() -> None:
    source = campaigns_file().read_text()
    root = Path(tempfile.mkdtemp(prefix="worldvla-benchmark-"))
    load = os.getloadavg()[0]
    try:
        figures = [one for size in ITERATIONS for one in measure(root / str(size), source, size)]
    finally:
        shutil.rmtree(root)
    protocol = {
        "campaigns": CAMPAIGNS,
        "iterations": ITERATIONS,
        "episodes an iteration": EPISODES,
        "commits a table and campaign": 1,
        "runs, of which the fastest counts": RUNS,
        "cold start": "a new Python process; the files of the lake are in the page cache",
        "load average before": round(load, 1),
    }
    print(write("planner", protocol, figures))


def measure(home: Path, source: str, iterations: int) -> list[dict]:
    """The figures of one size; `home` is made and filled."""
    home.mkdir()
    names = [f"bench{number}" for number in range(CAMPAIGNS)]
    file = home / "campaigns.yaml"
    file.write_text(campaigns_text(names, source))
    os.environ |= {"WORLDVLA_HOME": str(home), "WORLDVLA_CAMPAIGNS": str(file)}
    lake = Lake(home / "lake")
    nodes = build(lake, names, iterations, EPISODES)
    full = iterations == max(ITERATIONS)
    where = f"{nodes:,} nodes"
    target = TARGET_SECONDS if full else None

    figures = command(f"{where}, all fresh: status --json", nodes, target, "status", "--json")
    figures += planner_alone(where, lake, nodes)
    if not full:
        return figures
    rollouts = latest(lake)["policy_rollouts", names[0], "0000"].data_version
    retract_episodes(lake, [set_members(lake, rollouts)[0]], "camera moved")
    after = f"{where}, one episode retracted"
    figures += command(f"{after}: status --json", nodes, target, "status", "--json")
    figures += command(f"{after}: rematerialize --dry-run --json", nodes, None, "rematerialize", "--dry-run", "--json")
    stale_all(file)
    after = f"{where}, all stale"
    figures += command(f"{after}: status --json", nodes, None, "status", "--json")
    figures += command(f"{after}: status for people", nodes, None, "status")
    figures += command(f"{after}: rematerialize --dry-run --json", nodes, None, "rematerialize", "--dry-run", "--json")
    return figures


def command(name: str, nodes: int, target: float | None, *arguments: str) -> list[dict]:
    """Wall-clock and processor seconds of one command, from the start of its process to its end."""
    walls, processors = [], []
    for _ in range(RUNS):
        used = _children_seconds()
        begin = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "worldvla.cli.main", *arguments], capture_output=True, check=True)
        walls.append(time.perf_counter() - begin)
        processors.append(_children_seconds() - used)
    if arguments == ("status", "--json"):
        assert len(json.loads(done.stdout)) == nodes
    return [
        figure(name, min(walls), "seconds", n=RUNS, at_most=target),
        figure(f"{name}, processor time", min(processors), "seconds", n=RUNS),
    ]


def planner_alone(where: str, lake: Lake, nodes: int) -> list[dict]:
    """Seconds of reading the lake and of the pure function, in a process that has imported everything."""
    reading, assessing = [], []
    for _ in range(RUNS):
        begin = time.perf_counter()
        seen = snapshot(lake)
        reading.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        states = seen.assess()
        assessing.append(time.perf_counter() - begin)
    assert len(states) == nodes and {state.state for state in states} == {"fresh"}
    return [
        figure(f"{where}: reading the lake", min(reading), "seconds", n=RUNS),
        figure(f"{where}: the planner's function", min(assessing), "seconds", n=RUNS),
    ]


def stale_all(file: Path) -> None:
    """Changes what every campaign's demonstrations read, so that nothing is fresh."""
    content = yaml.safe_load(file.read_text())
    for campaign in content["campaigns"].values():
        campaign["demonstrations"] = {"per_task": 61}
    file.write_text(yaml.safe_dump(content))


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
