"""The report of a small lake: what the page says is what the lake holds, and it needs nothing from outside."""

import re
from dataclasses import replace

import pytest

from tests.planner import lakes
from worldvla.alignment.intervals import comparison, proportion
from worldvla.alignment.summary import summarize
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.digests import digest
from worldvla.lake.materializations import Materialization, latest, publish
from worldvla.lake.store import Lake
from worldvla.planner.graph import GRAPH
from worldvla.report.charts import Series, line_chart
from worldvla.report.contents import collect
from worldvla.report.page import build, verdict

COMMIT = Commit(run_id="run", asset="test")
STEPS = 8


def alignment_row(index: int) -> dict:
    success = index % 2 == 0
    flat = {name: [30.0 - step for step in range(STEPS)] for name in ("psnr_curve", "static_psnr_curve")}
    flat |= {name: [0.5] * STEPS for name in ("ssim_curve", "flip_curve")}
    reward = [0.0] * (STEPS - 1) + [float(success)]
    outcomes = {f"{name}_curve": reward for name in ("reward", "judge", "judge_real", "true_reward")}
    media = {"strip": b"a picture", "video": b"a film"} if index < 2 else {}
    return {
        "episode_id": digest(["episode", index]),
        "task": "PushCube-v1",
        "model_id": "m",
        "protocol": "p",
        "true_success": success,
        "judged_success_imagined": success,
        "judged_success_real": success,
        "reward_success": success,
        "success_threshold": 0.5,
        "judge_threshold": 0.5,
        "frame_stride": 1,
        "psnr": 26.5,
        "psnr_last": 23.0,
        "static_psnr": 26.5,
        "static_psnr_last": 23.0,
        "ssim": 0.5,
        "flip": 0.5,
        **flat,
        **outcomes,
        **media,
    }


def put(lake: Lake, asset: str, version: str, details: dict, **changes) -> None:
    iteration = changes.pop("iteration", "0000")
    publish(
        lake,
        Materialization(
            asset, "c", iteration, version, "1", "c", changes.pop("parents", {}), "f", "run", details, **changes
        ),
        COMMIT,
    )


def aligned_lake(root, gate_failure: str | None = None) -> Lake:
    lake = Lake(root)
    rows = [alignment_row(index) for index in range(6)]
    lake.insert("alignments", [{"alignment_version": "a", **row} for row in rows], COMMIT)
    details = {"rows": 6, "summary": summarize(rows), "protocol": {"digest": "p"}}
    put(lake, "alignment", "a", details, blocking_failure=gate_failure, imagined_steps=48)
    return lake


def probe(update: int, successes: int, resting: list[str]) -> dict:
    rate = proportion(successes, 8)
    return {"update": update, "rate": rate["rate"], "tasks": {"PushCube-v1": rate}, "resting": resting}


def policy_row(model_id: str) -> dict:
    nothing = {name: "{}" for name in ("config", "parents", "metrics")}
    return {"model_id": model_id, "kind": "rl_policy", "weights": b"w", **nothing}


def trained_lake(root) -> Lake:
    lake = aligned_lake(root)
    lake.insert("models", [policy_row("0" * 32)], COMMIT)
    imagined = comparison([False] * 5 + [True] * 5, [False] * 2 + [True] * 8)
    details = {
        "history": [{"imagined_success": 0.25}, {"imagined_success": 0.75}],
        "imagined": {"reward": imagined, "judge": imagined, "tasks": {}},
        "probes": [probe(0, 4, []), probe(15, 6, ["PushCube-v1"])],
        "kept": 15,
    }
    put(lake, "rl_policy", "0" * 32, details)
    before, after = [False] * 12 + [True] * 8, [True] * 15 + [False] * 5
    details = {"protocol": {"temperature": 0}, **comparison(before, after)}
    put(lake, "evaluation", "e", details, parents={"base_policy": "b", "rl_policy": "0" * 32}, real_steps=1234)
    return lake


def test_the_page_stands_alone_and_says_what_the_lake_holds(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path / "home"))
    path = build(trained_lake(tmp_path / "lake"), "c")
    html = path.read_text()
    assert path == tmp_path / "home" / "reports" / "c.html"
    outside = re.findall(r'(?:src|href)="(?!data:)([^"]*)"|url\(|@import', html)
    assert outside == []
    rates = ("15 of 20", "100.0 % (61.0 – 100.0)", "80.0 % (49.0 – 94.3)")
    for told in (*rates, "1\u202f234", "passed its gate", "Success while it learns", "drawn one by one"):
        assert told in html
    assert html.count("<video") == 2
    assert '<tr><td>15</td><td>75.0 % (40.9 – 92.9)</td><td class="text">PushCube-v1</td></tr>' in html


def test_the_verdict_claims_no_more_than_the_interval(tmp_path):
    contents = collect(trained_lake(tmp_path), "c")
    assert "15 of 20" in verdict(contents) and "8 of the same 20" in verdict(contents)
    gain = contents.last_compared.evaluation["difference"]
    assert ("lies above zero" in verdict(contents)) == (gain["low"] > 0)


def test_a_failed_gate_is_told_and_nothing_else_is_invented(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path / "home"))
    lake = aligned_lake(tmp_path / "lake", "PSNR at the last step is 18.00 dB, below 20 dB (n = 6)")
    html = build(lake, "c").read_text()
    assert "failed its gate" in html and "18.00 dB, below 20 dB" in html
    assert "No policy was trained" in html
    assert "Lineage" not in html and "And in the real simulator" not in html


def test_the_page_says_what_of_it_is_stale(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    lake = Lake(tmp_path / "lake")
    lakes.loop(lake)
    policies = {record.data_version for (asset, _, _), record in latest(lake).items() if asset == "rl_policy"}
    lake.insert("models", [policy_row(policy) for policy in policies], COMMIT)
    assert "stale" not in body(build(lake, lakes.CAMPAIGN))
    monkeypatch.setitem(GRAPH, "sans", replace(GRAPH["sans"], code_version="next"))
    html = body(build(lake, lakes.CAMPAIGN))
    assert "assets are stale</b>" in html and "The first: sans 0000, code version" in html
    assert html.count("assets stale</span>") == 2


def body(path) -> str:
    return path.read_text().partition("<body>")[2]


def test_a_campaign_without_configuration_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path / "home"))
    assert "whether this is how things are today is not known" in body(build(trained_lake(tmp_path / "lake"), "c"))


def test_an_unknown_campaign_is_a_users_error(tmp_path):
    with pytest.raises(UserError, match="campaign 'nothing'"):
        collect(trained_lake(tmp_path), "nothing")


@pytest.mark.parametrize("values", [[0.5], [1.0, 1.0, 1.0], [20.0, 31.0, 25.0]])
def test_a_chart_keeps_its_lines_inside(values):
    svg = str(line_chart(list(range(1, len(values) + 1)), [Series("a <b>", values, "a")], "step", "y"))
    assert "a &lt;b&gt;" in svg
    for point in re.search(r'<polyline[^>]*points="([^"]*)"', svg)[1].split():
        x, y = map(float, point.split(","))
        assert 0 <= x <= 460 and 0 <= y <= 230
