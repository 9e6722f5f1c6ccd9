"""Figures of campaigns: what is measured alike is compared, targets are put to it, nothing else counts."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.campaign_figures import base_figures, policy_figures, world_model_figures
from benchmarks.campaign_home import evaluation
from tests.benchmarks.lakes import PROTOCOL, aligned, alignment_rows, evaluated, evidence, home
from worldvla.alignment.intervals import paired_difference, proportion, wilson
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.digests import digest
from worldvla.lake.store import Lake

PUSH, LIFT = "PushCube-v1", "LiftPegUpright-v1"
PLAN = {"tabletop": 2}
BASE = {PUSH: 8, LIFT: 10}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def by_name(figures: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    assert len({one["name"] for one in figures}) == len(figures)
    return {one["name"]: one for one in figures}


def test_gains_are_paired_over_all_tasks_and_per_task(lake: Lake) -> None:
    evaluated(lake, "tabletop", "0000", BASE, {PUSH: 18, LIFT: 12})
    evaluated(lake, "tabletop", "0001", BASE, {PUSH: 20, LIFT: 20})
    figures = by_name(policy_figures(evidence(lake, PLAN), "tabletop", {"0000": 0.3}, least=0.0))
    base = figures["tabletop: success of the base policy, all tasks"]
    assert (base["value"], base["n"], base["interval"], base["holds"]) == (18 / 40, 40, wilson(18, 40), None)
    assert figures[f"tabletop: success of the base policy, {PUSH}"]["value"] == 0.4
    assert figures["tabletop iteration 0000: success of the policy, all tasks"]["value"] == 30 / 40
    gain = figures["tabletop iteration 0000: gain over the base policy, all tasks"]
    before = [True] * 8 + [False] * 12 + [True] * 10 + [False] * 10
    after = [True] * 18 + [False] * 2 + [True] * 12 + [False] * 8
    assert (gain["value"], *gain["interval"]) == pytest.approx(paired_difference(before, after))
    # 30 points reach the target, the whole interval does not.
    assert (gain["n"], gain["target"], gain["holds"], gain["interval_holds"]) == (40, 0.3, True, False)
    assert figures["tabletop iteration 0001: gain over the base policy, all tasks"]["target"] is None
    second = figures["tabletop: gain of iteration 0001 over 0000, all tasks"]
    assert second["value"] == 0.25 and second["interval"][0] > 0 and second["holds"]
    assert figures[f"tabletop: gain of iteration 0001 over 0000, {LIFT}"]["value"] == pytest.approx(0.4)


def test_a_second_gain_whose_interval_reaches_zero_and_a_worse_task_do_not_hold(lake: Lake) -> None:
    evaluated(lake, "tabletop", "0000", BASE, {PUSH: 18, LIFT: 9})
    evaluated(lake, "tabletop", "0001", BASE, {PUSH: 18, LIFT: 10})
    figures = by_name(policy_figures(evidence(lake, PLAN), "tabletop", {}, least=0.0))
    second = figures["tabletop: gain of iteration 0001 over 0000, all tasks"]
    assert second["value"] == pytest.approx(1 / 40) and not second["holds"]
    worst = figures["tabletop iteration 0000: gain over the base policy, the task that gains least"]
    assert (worst["value"], worst["task"], worst["holds"]) == (pytest.approx(-0.05), LIFT, False)
    worst = figures["tabletop iteration 0001: gain over the base policy, the task that gains least"]
    assert (worst["value"], worst["task"], worst["holds"], worst["interval_holds"]) == (0.0, LIFT, True, False)


def test_a_gain_of_exactly_the_target_holds(lake: Lake) -> None:
    assert 23 / 40 - 11 / 40 < 12 / 40  # as numbers of the machine
    evaluated(lake, "tabletop", "0000", {PUSH: 6, LIFT: 5}, {PUSH: 12, LIFT: 11})
    figures = by_name(policy_figures(evidence(lake, PLAN), "tabletop", {"0000": 0.3}))
    assert figures["tabletop iteration 0000: gain over the base policy, all tasks"]["holds"]


def test_an_iteration_that_is_not_there_has_no_figures(lake: Lake) -> None:
    evaluated(lake, "tabletop", "0000", BASE, {PUSH: 18, LIFT: 12})
    # A third iteration is not the benchmark's.
    evaluated(lake, "tabletop", "0002", BASE, {PUSH: 20, LIFT: 20})
    names = list(by_name(policy_figures(evidence(lake, PLAN), "tabletop", {})))
    assert any("iteration 0000" in name for name in names)
    assert not any("0001" in name or "0002" in name for name in names)
    assert world_model_figures(evidence(lake, PLAN), "tabletop") == []


def test_rows_that_other_evaluations_left_do_not_count(lake: Lake) -> None:
    evaluated(lake, "tabletop", "0000", BASE, {PUSH: 18, LIFT: 12})
    row = {"initial_state_digest": "", "success": True, "steps": 8, "best_progress": 1.0}
    lake.insert(
        "evaluations",
        [
            {"policy_id": "tabletop base", "protocol": digest(PROTOCOL), "task": PUSH, "seed": 905_000, **row},
            {"policy_id": "tabletop base", "protocol": "another", "task": PUSH, "seed": 900_019, **row},
            {"policy_id": "tabletop 0000", "protocol": digest(PROTOCOL), "task": "PokeCube-v1", "seed": 1, **row},
        ],
        Commit("run", "evaluation"),
    )
    found = evaluation(home(lake, PLAN), "tabletop", "0000")
    assert len(found.base) == len(found.new) == 40 and sum(found.base.values()) == 18


def test_seeds_of_a_longer_evaluation_before_do_not_count(lake: Lake) -> None:
    evaluated(lake, "test", "0000", {PUSH: 3}, {PUSH: 12})
    evaluated(lake, "test", "0000", {PUSH: 3}, {PUSH: 12}, seeds=4)  # as many as the campaign asks for
    found = evaluation(home(lake, {"test": 1}), "test", "0000")
    assert list(found.base.values()) == [True, True, True, False] and list(found.new.values()) == [True] * 4


def test_rows_that_were_not_published_are_refused(lake: Lake) -> None:
    evaluated(lake, "tabletop", "0000", BASE, {PUSH: 18, LIFT: 12})
    lake.delete("evaluations", "seed = 900003")
    with pytest.raises(UserError, match="not those that tabletop 0000 published"):
        evaluation(home(lake, PLAN), "tabletop", "0000")


def test_iterations_of_unlike_protocols_are_not_compared(lake: Lake) -> None:
    evaluated(lake, "tabletop", "0000", BASE, {PUSH: 18, LIFT: 12})
    evaluated(lake, "tabletop", "0001", BASE, {PUSH: 18, LIFT: 12}, PROTOCOL | {"temperature": 0.0})
    with pytest.raises(UserError, match=r"tabletop 0000 and tabletop 0001 .*: temperature 1.0 against 0.0$"):
        policy_figures(evidence(lake, PLAN), "tabletop", {})


def test_world_models_over_all_tasks_and_per_task(lake: Lake) -> None:
    rows = alignment_rows(PUSH, 100, visual=92, reward=80) + alignment_rows(LIFT, 100, visual=86, reward=80, psnr=20.0)
    aligned(lake, "tabletop", "0000", rows)
    aligned(lake, "tabletop", "0001", rows[:150])
    figures = by_name(world_model_figures(evidence(lake, PLAN), "tabletop"))
    first = "tabletop iteration 0000"
    assert figures[f"{first}: held-out episodes"]["holds"]
    assert not figures["tabletop iteration 0001: held-out episodes"]["holds"]
    assert figures[f"{first}: of them successes"]["value"] == 100
    visual = figures[f"{first}, all tasks: visual alignment"]
    rate = proportion(178, 200)
    assert (visual["value"], visual["interval"], visual["n"]) == (0.89, (rate["low"], rate["high"]), 200)
    assert visual["holds"] and not visual["interval_holds"]
    reward = figures[f"{first}, all tasks: reward alignment"]
    assert (reward["value"], reward["holds"]) == (0.8, False)
    psnr = figures[f"{first}, all tasks: PSNR"]
    assert psnr["value"] == 25.5 and not psnr["holds"]
    assert psnr["interval"][0] < 25.5 < psnr["interval"][1]
    assert figures[f"{first}, all tasks: SSIM"]["value"] == pytest.approx(0.92)
    assert figures[f"{first}, {LIFT}: PSNR"]["value"] == 20.5
    assert figures[f"{first}, {LIFT}: visual alignment"]["target"] is None
    assert figures[f"{first}, all tasks: the judge on real frames"]["value"] == 198 / 200
    assert figures[f"{first}, all tasks: FLIP, a distance"]["value"] == pytest.approx(0.1)


def test_an_alignment_that_lost_rows_is_refused(lake: Lake) -> None:
    aligned(lake, "tabletop", "0000", alignment_rows(PUSH, 6, 6, 6))
    lake.delete("alignments", f"episode_id = '{digest(2)}'")
    with pytest.raises(UserError, match="published 6 rows, 5 are there"):
        world_model_figures(evidence(lake, PLAN), "tabletop")


@pytest.mark.parametrize(("successes", "holds"), [(2, [False, True]), (4, [True, True]), (7, [True, False])])
def test_a_base_policy_starts_between_two_bounds_in_every_task(successes: int, holds: list[bool]) -> None:
    tasks = {PUSH: 5, LIFT: successes}
    outcomes = {(task, seed): seed % 10 < share for task, share in tasks.items() for seed in range(200)}
    _, lowest, highest = figures = base_figures("tabletop", outcomes)
    assert [one["holds"] for one in figures] == [True, *holds]
    assert {lowest["task"], highest["task"]} == {PUSH, LIFT}


def test_every_task_needs_its_seeds() -> None:
    outcomes = {(task, seed): True for task, seeds in ((PUSH, 200), (LIFT, 199)) for seed in range(seeds)}
    seeds, *_ = base_figures("tabletop", outcomes)
    assert (seeds["value"], seeds["holds"]) == (199, False)


def test_what_recorded_an_episode_is_told_for_each_outcome(lake: Lake) -> None:
    """Outcomes are balanced within tasks, not within what recorded them: experts hardly ever fail."""
    aligned(lake, "tabletop", "0000", alignment_rows(PUSH, 8, visual=8, reward=7))
    seen = evidence(lake, PLAN)
    for row in seen.measured["tabletop"].alignments["0000"].rows:
        row["source"] = "expert" if row["true_success"] else "policy"
    figures = by_name(world_model_figures(seen, "tabletop"))
    told = {name: one["value"] for name, one in figures.items() if "of source" in name and "reward" in name}
    assert told == {
        "tabletop iteration 0000, successes of source expert: reward alignment": 1.0,
        "tabletop iteration 0000, failures of source policy: reward alignment": 0.75,
    }
