"""The reports of `benchmarks.learning` and `benchmarks.libero` on homes that are finished, half finished, and empty."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import learning, libero
from benchmarks.campaign_evidence import Evidence, gather
from benchmarks.campaign_figures import HOURS
from benchmarks.campaign_home import SOURCES
from benchmarks.campaign_runs import differing, protocol, run
from benchmarks.interaction_table import interaction, markdown
from benchmarks.learning_plot import draw
from tests.benchmarks.lakes import PROBED, PROTOCOL, STEPS, aligned, alignment_rows, evaluated, evidence, run_fresh
from worldvla.alignment.intervals import proportion
from worldvla.errors import UserError
from worldvla.home import project_root
from worldvla.lake.commit import Commit
from worldvla.lake.materializations import latest, publish
from worldvla.lake.query import run_audit
from worldvla.lake.store import Lake

PUSH, LIFT = "PushCube-v1", "LiftPegUpright-v1"
JUDGED = "tabletop-without-reward-head"


@pytest.fixture(scope="module")
def half_finished(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Both iterations of `tabletop`, one of an ablation, nothing else."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    base, better = {PUSH: 8, LIFT: 8}, {PUSH: 15, LIFT: 15}
    run_fresh(lake, "tabletop", 2, base, {"0000": better, "0001": {PUSH: 20, LIFT: 19}})
    run_fresh(lake, JUDGED, 1, base, {"0000": {PUSH: 10, LIFT: 8}})
    return lake


def test_a_half_finished_home_is_reported_with_what_is_missing(
    half_finished: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "FOLDER", tmp_path)
    monkeypatch.setattr(learning, "PICTURE", tmp_path / "learning.png")
    seen = gather(half_finished, learning.PLAN, tmp_path / "kept")
    own, figures = learning.report(seen)
    by_name = {one["name"]: one for one in figures}
    gain = by_name["tabletop iteration 0000: gain over the base policy, all tasks"]
    assert (gain["value"], gain["target"], gain["holds"]) == (pytest.approx(0.35), 0.293, True)
    assert by_name["tabletop: gain of iteration 0001 over 0000, all tasks"]["holds"]
    assert by_name["tabletop: success of the base policy, the task that starts lowest"]["holds"]
    hours = by_name["tabletop iteration 0000: all assets"]
    assert (hours["value"], hours["target"]) == (pytest.approx(0.5), HOURS)
    # Of an ablation's two iterations one is there: what it came to is not known yet.
    assert not any(name.startswith((JUDGED, "two", "tabletop less")) for name in by_name)
    assert [one for one in seen.missing if one.campaign == "tabletop"] == []
    for expected in (
        f"{JUDGED} 0001 evaluation: missing",
        "two-tasks-seed-2 0000 alignment: missing",
        "two-tasks-seed-2 0000 iteration_record: missing",
    ):
        assert any(str(one).startswith(expected) for one in seen.missing), seen.missing
    described = json.loads(json.dumps(protocol(seen) | own))
    assert set(described["evaluation"]) == {"tabletop", JUDGED}
    assert described["evaluation"]["tabletop"]["temperature"] == PROTOCOL["temperature"]
    assert described["evaluation"]["tabletop"]["seeds"][PUSH] == {"n": 20, "first": 900_000, "last": 900_019}
    assert described["settings"][JUDGED]["rl"] == {"reward": "judge"}
    assert described["seconds by asset"]["tabletop"]["evaluation 0001"] == 1800.0
    assert described["missing"] == list(map(str, seen.missing))
    assert (tmp_path / "learning.png").read_bytes().startswith(b"\x89PNG")
    table = (tmp_path / "learning.md").read_text().splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in table[2:6]] == [
        "tabletop (base policy)",
        "tabletop 0000",
        "tabletop 0001",
        f"{JUDGED} 0000",
    ]
    assert "| +35.0 points (" in table[3]
    # The table says itself what is not in it: the evaluations of its campaigns, and nothing else.
    assert table[6:9] == ["", "Missing:", ""]
    lacking = [one for one in table[9:] if one.startswith(f"- {JUDGED} 0001 evaluation: missing")]
    assert len(lacking) == 1 and len(table[9:]) == 5 and all(" evaluation: " in one for one in table[9:])


def test_the_steps_of_the_table_are_those_of_the_audit(half_finished: Lake, tmp_path: Path) -> None:
    rows = interaction(gather(half_finished, {"tabletop": 2, JUDGED: 2}, tmp_path))
    audited = {
        (row["campaign"], row["iteration"]): row["real_steps"]
        for row in run_audit(half_finished, "interaction", {}).to_dicts()
    }
    for row in rows:
        assert row["real_steps"] == sum(row[source] for source in SOURCES)
        if row["iteration"]:
            assert row["real_steps"] == audited[row["campaign"], row["iteration"]]
    base, first, second, _ = rows
    assert (base["real_steps"], base["gain"]) == (STEPS["demonstrations"], None)
    assert (first["collection"], second["collection"]) == (0, STEPS["policy_rollouts"])
    # Probes choose the policy of their own iteration, and those of the iterations before chose where it began.
    assert (base["probes"], first["probes"], second["probes"]) == (0, PROBED, 2 * PROBED)
    assert markdown(rows, []).count("\n") == 2 + len(rows)


def test_the_picture_shows_the_rows(half_finished: Lake, tmp_path: Path) -> None:
    rows = interaction(gather(half_finished, {"tabletop": 2}, tmp_path))
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    draw(rows, one)
    rows[-1] |= {"success": proportion(1, 40)}
    draw(rows, other)
    assert one.read_bytes() != other.read_bytes()


def test_what_is_stale_is_missing_and_gives_no_figures(half_finished: Lake, tmp_path: Path) -> None:
    lake = half_finished
    record = latest(lake)["rl_policy", JUDGED, "0000"]
    old = replace(record, code_version="0", materialized_at=datetime.now(UTC))
    publish(lake, old, Commit("run", "rl_policy", JUDGED, "0000"))
    try:
        seen = gather(lake, {JUDGED: 1}, tmp_path)
        assert seen.evaluations(JUDGED) == []
        assert list(seen.alignments(JUDGED)) == ["0000"]
        [reason] = [one for one in map(str, seen.missing) if one.startswith(f"{JUDGED} 0000 evaluation: stale")]
        assert "code version" in reason
    finally:
        publish(lake, replace(record, materialized_at=datetime.now(UTC)), Commit("run", "rl_policy"))


def test_an_empty_home_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no loop"):
        gather(Lake(tmp_path), learning.PLAN, tmp_path)


def seeds_evidence(lake: Lake, names: tuple[str, ...]) -> Evidence:
    for number, name in enumerate(names):
        first, second = {PUSH: 12 + 2 * number, LIFT: 12}, {PUSH: 16, LIFT: 16 - number}
        evaluated(lake, name, "0000", {PUSH: 8, LIFT: 8 + number}, first)
        evaluated(lake, name, "0001", {PUSH: 8, LIFT: 8 + number}, second)
    return evidence(lake, learning.PLAN)


def test_mean_and_spread_need_every_seed(tmp_path: Path) -> None:
    two = learning.seed_figures(seeds_evidence(Lake(tmp_path), learning.SEEDS[:2]))
    assert len(two) == 12 and not any("mean" in one["name"] for one in two)
    figures = {
        one["name"]: one for one in learning.seed_figures(seeds_evidence(Lake(tmp_path / "all"), learning.SEEDS))
    }
    assert figures["two-tasks-seed-1: success, iteration 0000"]["value"] == 26 / 40
    mean = figures["two tasks, 3 training seeds: success, iteration 0000, mean"]
    assert (mean["value"], mean["n"], mean["values"]) == (pytest.approx(0.65), 3, [0.6, 0.65, 0.7])
    spread = figures["two tasks, 3 training seeds: success, iteration 0000, standard deviation"]
    assert spread["value"] == pytest.approx(0.05)
    # The seeds' base policies differ too, so the spread of the gain is not that of the success.
    gained = figures["two tasks, 3 training seeds: gain over its base policy, iteration 0000, mean"]
    assert gained["values"] == [8 / 40, 9 / 40, 10 / 40]
    spread = figures["two tasks, 3 training seeds: gain over its base policy, iteration 0000, standard deviation"]
    assert spread["value"] == pytest.approx(0.025)
    assert figures["two-tasks-seed-1: gain over its base policy, iteration 0001"]["value"] == 14 / 40
    further = figures["two tasks, 3 training seeds: gain of iteration 0001 over 0000, mean"]
    assert further["values"] == [8 / 40, 5 / 40, 2 / 40]


def test_the_loop_is_set_against_its_ablations_on_the_same_seeds(tmp_path: Path) -> None:
    lake, alone = Lake(tmp_path), "tabletop-without-second-iteration"
    base, best = {PUSH: 8}, {PUSH: 19}
    for iteration in ("0000", "0001"):
        evaluated(lake, "tabletop", iteration, base, best)
    evaluated(lake, alone, "0000", base, {PUSH: 12})
    figures = {one["name"]: one["value"] for one in learning.ablation_figures(evidence(lake, learning.PLAN))}
    assert figures == {
        f"{alone}: success of the last policy, all tasks": 0.6,
        f"{alone}: gain over its base policy, all tasks": pytest.approx(0.2),
        f"tabletop iteration 0000 less {alone}, last policy, all tasks": pytest.approx(0.35),
        f"tabletop iteration 0001 less {alone}, last policy, all tasks": pytest.approx(0.35),
    }
    evaluated(lake, alone, "0000", base, {PUSH: 12}, PROTOCOL | {"max_steps": 9})
    for refused in (learning.ablation_figures, interaction):
        with pytest.raises(UserError, match="unlike protocols, so they are not compared: max_steps None against 9"):
            refused(evidence(lake, learning.PLAN))


def test_an_ablation_shows_what_its_last_world_model_tells(tmp_path: Path) -> None:
    lake, name = Lake(tmp_path), "tabletop-without-near-success"
    aligned(lake, name, "0000", alignment_rows(PUSH, 10, visual=9, reward=9))
    assert learning.ablation_figures(evidence(lake, learning.PLAN)) == []
    aligned(lake, name, "0001", alignment_rows(PUSH, 10, visual=6, reward=7))
    figures = {one["name"]: one for one in learning.ablation_figures(evidence(lake, learning.PLAN))}
    visual = figures.pop(f"{name}, last world model, all tasks: visual alignment")
    assert (visual["value"], visual["n"], visual["target"]) == (0.6, 10, None)
    assert figures.pop(f"{name}, last world model, all tasks: reward alignment")["value"] == 0.7
    # A judge of its own: trained on what the ablation leaves it.
    assert figures.pop(f"{name}, last world model, all tasks: the judge on real frames")["value"] == 0.9
    assert not figures


def test_suites_are_averaged_when_all_are_there(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    tasks = {name: given["tasks"] for name, given in libero.ours().items()}
    for number, (name, of_suite) in enumerate(tasks.items()):
        assert not any("average" in one["name"] for one in libero.average_figures(evidence(lake, libero.PLAN)))
        conditions = PROTOCOL | {"suite": name, "max_steps": 200 + number}
        base = dict.fromkeys(of_suite, 4)
        evaluated(lake, name, "0000", base, dict.fromkeys(of_suite, 6 + number), conditions)
        evaluated(lake, name, "0001", base, dict.fromkeys(of_suite, 16), conditions)
    figures = {one["name"]: one for one in libero.average_figures(evidence(lake, libero.PLAN))}
    base = figures["average of the suites: success of the base policy"]
    assert (base["value"], base["n"]) == (0.2, 120)
    first = figures["average of the suites, iteration 0000: gain over the base policy"]
    assert (first["value"], first["target"], first["holds"]) == (pytest.approx(0.15), 0.127, True)
    last = figures["average of the suites, iteration 0001: gain over the base policy"]
    assert (last["value"], last["target"], last["n"]) == (pytest.approx(0.6), 0.293, 120)
    assert figures["average of the suites: gain of iteration 0001 over the one before"]["holds"]


def test_a_suite_is_reported_before_the_others_are_there(tmp_path: Path) -> None:
    lake, name = Lake(tmp_path), "libero-goal"
    tasks = libero.ours()[name]["tasks"]
    run_fresh(lake, name, 1, dict.fromkeys(tasks, 8), {"0000": {tasks[0]: 14, tasks[1]: 7}})
    own, figures = libero.report(seen := gather(lake, libero.PLAN, tmp_path / "kept"))
    values = {one["name"]: one["value"] for one in figures}
    assert values[f"{name} iteration 0000: gain over the base policy, all tasks"] == pytest.approx(5 / 40)
    assert values[f"{name} iteration 0000: gain over the base policy, the task that gains least"] == pytest.approx(
        -0.05
    )
    assert values[f"{name} iteration 0000, {tasks[0]}: reward alignment"] == 0.75
    assert not any(other.startswith(("average", "libero-spatial")) for other in values)
    assert f"{name} 0001 evaluation: missing" in " ".join(map(str, seen.missing))
    assert [row["iteration"] for row in own["interaction"]] == ["", "0000"]
    assert own["bases and budgets"]["ours"][name]["evaluation"].startswith("50 shipped initial states a task")


def test_suites_sampled_unlike_are_not_averaged(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for name, given in libero.ours().items():
        temperature = 0.0 if name == "libero-goal" else 1.0
        some = dict.fromkeys(given["tasks"], 5)
        evaluated(lake, name, "0000", some, some, PROTOCOL | {"suite": name, "temperature": temperature})
    with pytest.raises(UserError, match="temperature 1.0 against 0.0"):
        libero.average_figures(evidence(lake, libero.PLAN))


def test_settings_that_differ() -> None:
    whole = {"seed": 0, "rl": {"method": "grpo", "updates": 30}, "imports": []}
    assert differing(whole | {"rl": {"method": "supervised", "updates": 30}}, whole) == {"rl": {"method": "supervised"}}
    assert differing(whole, whole) == {}


def test_a_mistake_in_the_settings_ends_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as end:
        run({"no-such-campaign": 1, "test": 1})
    assert end.value.code == 2 and not (tmp_path / "lake").exists()


def children_of(process: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel to end processes")
def test_a_killed_benchmark_leaves_no_loop_that_would_refuse_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from benchmarks.campaign_runs import run; run({'test': 1})"]
    environment = os.environ | {"WORLDVLA_HOME": str(tmp_path)}
    benchmark = subprocess.Popen(command, cwd=project_root(), env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not (loops := children_of(benchmark.pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    [loop] = loops
    benchmark.send_signal(signal.SIGKILL)
    benchmark.wait()
    while Path(f"/proc/{loop}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{loop}").exists()


@pytest.mark.parametrize("name", ["learning", "libero"])
def test_a_report_of_an_empty_home_says_what_to_do(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", str(tmp_path), "--report"]
    said = subprocess.run(command, capture_output=True, text=True, cwd=project_root())
    assert said.returncode == 2 and said.stdout == ""
    assert "this home holds no loop: name the home that does, or run `worldvla loop` in it first" in said.stderr
