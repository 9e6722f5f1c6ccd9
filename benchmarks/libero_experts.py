"""`make benchmark-libero-experts`: how often the scripted experts solve LIBERO's 30 tasks.

On 10 of each task's shipped initial states and on 10 drawn placements; nothing is rendered. Writes
the table of docs/libero-experts.md too. `python -m benchmarks.libero_experts N` has N tasks at work
at once, instead of one a core.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.result import figure, write
from worldvla.alignment.intervals import wilson
from worldvla.sim import suites
from worldvla.sim.actors import ExpertSpec
from worldvla.sim.rollout import RolloutRequest
from worldvla.sim.seed_ranges import DEMONSTRATION, EVALUATION
from worldvla.sim.workers import collect, default_workers

SUITES = ("libero_spatial", "libero_object", "libero_goal")
SHIPPED = range(EVALUATION, EVALUATION + 10)
DRAWN = range(DEMONSTRATION, DEMONSTRATION + 10)
CHUNK = 8
SOLVED = 0.9  # the share of its seeds from which on a task counts as solved
DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "libero-experts.md"
MARK = "<!-- table: written by `make benchmark-libero-experts` -->"


def main() -> None:
    at_once = int(sys.argv[1]) if len(sys.argv) > 1 else default_workers()
    tasks = [(suite, task) for suite in SUITES for task in suites.tasks(suite)]
    with ThreadPoolExecutor(at_once) as threads:
        rows = list(threads.map(lambda each: row(*each), tasks))
    figures = [
        figure(f"{each['suite']}: {each['task']}", each["rate"], "success rate", each["n"], each["interval"])
        for each in rows
    ]
    solved = sum(each["rate"] >= SOLVED for each in rows)
    figures.append(figure(f"tasks with a success rate of at least {SOLVED:g}", solved, "tasks", len(rows), at_least=24))
    protocol = {
        "expert": ExpertSpec().name,
        "settings": ExpertSpec().settings,
        "shipped initial states a task": len(SHIPPED),
        "drawn placements a task": len(DRAWN),
        "success": "any state of the episode",
        "max_steps": {suite: suites.horizon(suite, suites.tasks(suite)[0]) for suite in SUITES},
        "tasks": rows,
    }
    print(write("libero_experts", protocol, figures))
    before = DOCUMENT.read_text().split(MARK)
    DOCUMENT.write_text(MARK.join([before[0], table(rows), before[2]]))


def row(suite: str, task: str) -> dict[str, Any]:
    """What the table says of a task; `steps` are the most that a success took."""
    spec, horizon = ExpertSpec(), suites.horizon(suite, task)
    requests = [RolloutRequest(suite, task, seed, spec, horizon, CHUNK, render="chunk") for seed in (*SHIPPED, *DRAWN)]
    episodes = list(collect(requests, workers=1, description=task))
    print(f"{task}: {sum(episode.success for episode in episodes)} of {len(episodes)}", flush=True)
    successes = [episode for episode in episodes if episode.success]
    shipped = [episode for episode in episodes if episode.seed in SHIPPED]
    return {
        "suite": suite,
        "task": task,
        "n": len(episodes),
        "rate": len(successes) / len(episodes),
        "interval": wilson(len(successes), len(episodes)),
        "shipped": sum(episode.success for episode in shipped),
        "drawn": len(successes) - sum(episode.success for episode in shipped),
        "steps": max((int(episode.reward.argmax()) for episode in successes), default=0),
        "failed_seeds": [episode.seed for episode in episodes if not episode.success],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "",
        "| suite | task | shipped | drawn | success rate [95 % interval] | most actions |",
        "|---|---|---|---|---|---|",
    ]
    for each in rows:
        low, high = each["interval"]
        lines.append(
            f"| {each['suite']} | {each['task'].replace('_', ' ')} | {each['shipped']}/{len(SHIPPED)} "
            f"| {each['drawn']}/{len(DRAWN)} | {each['rate']:.2f} [{low:.2f}, {high:.2f}] | {each['steps']} |"
        )
    solved = sum(each["rate"] >= SOLVED for each in rows)
    lines += ["", f"{solved} of the {len(rows)} tasks are solved on at least {SOLVED:.0%} of the seeds.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
