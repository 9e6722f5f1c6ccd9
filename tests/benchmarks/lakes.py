"""Lakes with measured policies and world models, of whose rows every rate is known: nothing is simulated or trained."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from benchmarks.campaign_evidence import Evidence
from benchmarks.campaign_home import Home, Plan, alignment, evaluation
from benchmarks.campaign_measurements import Measurements
from tests.planner.lakes import launcher
from worldvla.lake.commit import Commit
from worldvla.lake.digests import digest, rows_version
from worldvla.lake.materializations import Materialization, latest, publish
from worldvla.lake.store import Lake
from worldvla.planner.execute import execute
from worldvla.planner.observe import snapshot
from worldvla.planner.plan import Run, Selection

PROTOCOL = {"suite": "maniskill_tabletop", "temperature": 1.0, "first_seed": 900_000, "split": "heldout"}
SEEDS = 20
STEPS = {"demonstrations": 1000, "perturbed_demonstrations": 500, "exploration_rollouts": 300, "policy_rollouts": 70}
PROBED = 11  # steps of an iteration's probes

# By task, how many of SEEDS seeds succeed: the first so many.
Successes = Mapping[str, int]


def evaluated(
    lake: Lake,
    campaign: str,
    iteration: str,
    base: Successes,
    new: Successes,
    protocol: dict[str, Any] = PROTOCOL,
    seeds: int = SEEDS,
) -> None:
    """An evaluation of the campaign's base policy and the iteration's new one."""
    policies = (f"{campaign} base", f"{campaign} {iteration}")
    details = {"protocol": protocol, "exploitation": {"exploited": False}}
    _publish(
        lake,
        Materialization(
            asset="evaluation",
            campaign=campaign,
            iteration=iteration,
            data_version=_insert_evaluations(lake, dict(zip(policies, (base, new), strict=True)), protocol, seeds),
            code_version="1",
            config_digest="",
            parents=dict(zip(("base_policy", "rl_policy"), policies, strict=True)),
            fingerprint=digest([campaign, iteration]),
            run_id="run",
            details=details,
        ),
    )


def aligned(lake: Lake, campaign: str, iteration: str, rows: list[dict[str, Any]]) -> None:
    """An alignment of these rows, each given its episode."""
    version = _insert_alignments(lake, rows)
    details = {"rows": len(rows), "protocol": {"episodes": len(rows)}}
    record = Materialization(
        "alignment", campaign, iteration, version, "1", "", {}, digest([campaign, iteration]), "run", details
    )
    _publish(lake, record)


def alignment_rows(task: str, n: int, visual: int, reward: int, psnr: float = 30.0) -> list[dict[str, Any]]:
    """n episodes, every second a success, of which so many are told right by judge and reward head.

    On real frames the judge is wrong about the first one.
    """
    return [
        {
            "task": task,
            "true_success": number % 2 == 0,
            "judged_success_imagined": (number % 2 == 0) == (number < visual),
            "judged_success_real": (number % 2 == 0) == (number != 0),
            "reward_success": (number % 2 == 0) == (number < reward),
            "ssim": 0.9 + 0.04 * (number % 2),
            "psnr": psnr + number % 2,
            "static_psnr": 20.0,
            "flip": 0.1,
        }
        for number in range(n)
    ]


def home(lake: Lake, plan: Plan) -> Home:
    """What the lake holds, fresh or not."""
    return Home(lake, plan, latest(lake), [], {})


def evidence(lake: Lake, plan: Plan) -> Evidence:
    """What of it is measured, without what it cost."""
    seen = home(lake, plan)
    measured = {
        name: Measurements(
            campaign=name,
            date="2026-01-01",
            commit="",
            machine={},
            settings={},
            nodes={},
            versions={},
            evaluations={one: evaluation(seen, name, one) for one in seen.iterations("evaluation", name)},
            alignments={one: alignment(seen, name, one) for one in seen.iterations("alignment", name)},
            closed=[],
            gates={},
            seconds={},
            interaction=[],
        )
        for name in plan
    }
    return Evidence(plan, measured, [])


def measuring(lake: Lake, base: Successes, new: Mapping[str, Successes]) -> Callable[[Run], int]:
    """Publishes a run's assets from their parents, so that the planner finds them fresh; measures `base` and `new`.

    `new` is by iteration. The assets that act in the simulator spend STEPS.
    """
    publish_from_parents = launcher(lake)

    def launch(run: Run) -> int:
        for asset in run.assets:
            publish_from_parents(Run(run.campaign, run.iteration, (asset,), {}))
            record = latest(lake)[asset, run.campaign, run.iteration]
            if asset == "evaluation":
                policies = (record.parents["base_policy"], record.parents["rl_policy"])
                successes = dict(zip(policies, (base, new[run.iteration]), strict=True))
                version = _insert_evaluations(lake, successes, PROTOCOL)
                _publish(lake, replace(record, data_version=version, details={"protocol": PROTOCOL}, seconds=1800.0))
            elif asset == "alignment":
                rows = [row for task in base for row in alignment_rows(task, 4, 4, 3)]
                version = _insert_alignments(lake, rows)
                _publish(lake, replace(record, data_version=version, details={"rows": len(rows), "protocol": {}}))
            elif asset == "rl_policy":
                # Campaigns train in their own ways; what is published from equal parents alone would be one policy.
                version = digest([run.campaign, record.data_version])
                _publish(lake, replace(record, data_version=version, real_steps=PROBED))
            elif asset in STEPS:
                _publish(lake, replace(record, real_steps=STEPS[asset]))
        return 0

    return launch


def run_fresh(lake: Lake, campaign: str, iterations: int, base: dict[str, int], new: dict[str, dict[str, int]]) -> None:
    """Carries a campaign through the planner until it is fresh."""
    execute(
        lambda: snapshot(lake, [campaign], iterations).assess(),
        Selection.loop(campaign, iterations),
        measuring(lake, base, new),
    )


def _insert_evaluations(
    lake: Lake, successes: Mapping[str, Successes], protocol: dict[str, Any], seeds: int = SEEDS
) -> str:
    rows = [
        {
            "policy_id": policy,
            "protocol": digest(protocol),
            "task": task,
            "seed": 900_000 + seed,
            "initial_state_digest": digest([task, seed]),
            "success": seed < successful,
            "steps": 8,
            "best_progress": 0.5,
        }
        for policy, by_task in successes.items()
        for task, successful in by_task.items()
        for seed in range(seeds)
    ]
    lake.insert("evaluations", rows, Commit("run", "evaluation"))
    return rows_version(rows)


def _insert_alignments(lake: Lake, rows: list[dict[str, Any]]) -> str:
    rows = [{"episode_id": digest(number), **row} for number, row in enumerate(rows)]
    version = rows_version(rows)
    lake.insert("alignments", [{"alignment_version": version, **row} for row in rows], Commit("run", "alignment"))
    return version


def _publish(lake: Lake, record: Materialization) -> None:
    record = replace(record, materialized_at=datetime.now(UTC))
    publish(lake, record, Commit("run", record.asset, record.campaign, record.iteration))
