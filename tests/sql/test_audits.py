"""The audits' answers on a synthetic lake of two iterations, as golden files.

Digests depend on the image encoder's version, so the answers show readable names in their place.
"""

import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest
from syrupy.assertion import SnapshotAssertion

from tests.factories import synthetic_lake
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.materializations import latest, publish
from worldvla.lake.names import resolve_model
from worldvla.lake.query import audits, connect, run_audit
from worldvla.lake.store import Lake
from worldvla.lake.tables import TABLES

SELECTED_BY = ("episode", "suite", "task", "seeds", "source", "policy", "after", "before")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = synthetic_lake(tmp_path_factory.mktemp("lake"))
    for iteration in ("0000", "0001"):
        row = {"campaign": "demo", "iteration": iteration, "tables": lake.versions()}
        lake.insert("iterations", [row], Commit("run", "iteration_record", "demo", iteration))
    return lake


def readable(lake: Lake, answer: pl.DataFrame) -> str:
    """One JSON object a row, ids replaced by what they stand for, numbers to 4 digits."""
    names = {row["episode_id"]: f"<episode {row['seed']}>" for row in lake.read("episodes").to_pylist()}
    for asset, _, iteration in reversed(latest(lake)):
        names[latest(lake)[asset, "demo", iteration].data_version] = f"<{asset} {iteration}>".replace(" >", ">")
    lines = []
    for row in answer.to_dicts():
        rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}
        line = json.dumps(rounded, default=str)
        for digest, name in names.items():
            line = line.replace(digest, name).replace(f" {digest[:8]}", f" {name}")
        lines.append(line)
    return "\n".join(lines)


def episode(lake: Lake, seed: int) -> str:
    return lake.read("episodes", ["episode_id"], f"seed = {seed}")["episode_id"][0].as_py()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("failures_that_trained", {"model": "demo/0001"}),
        ("failures_that_trained", {"model": "demo/0000"}),
        ("failures_that_trained", {"model": "demo/1", "origin": "any"}),
        ("failures_that_trained", {"model": "demo/pretrained_world_model", "origin": "any"}),
        ("models_trained_on", {"episode": 101}),
        ("models_trained_on", {"episode": 0}),
        ("lineage", {"policy": "demo/0001"}),
        ("lineage", {"policy": "demo/base_policy"}),
        ("loop_progress", {"campaign": "demo"}),
        ("near_success", {"campaign": "demo", "iteration": "1"}),
        ("training_set", {"model": "demo/0001"}),
        ("protocols", {}),
        ("interaction", {}),
        ("training_difference", {"model": "demo/1", "against": "demo/0"}),
        ("training_difference", {"model": "demo/0", "against": "demo/pretrained_world_model"}),
        ("training_difference_counts", {"model": "demo/1", "against": "demo/0"}),
        ("episodes_of", {"policy": "demo/0"}),
        ("episodes_of", {"source": "policy", "seeds": "21-103"}),
        ("episodes_of", {"after": "2026-11-01", "before": "2026-11-01T00:02:30"}),
        ("downstream_of", {"policy": "demo/0"}),
        ("downstream_of", {"task": "PushCube-v1", "seeds": "20-22"}),
        ("downstream_of", {"episode": 0}),
        ("measured_with", {"policy": "demo/1"}),
        ("compare_policies", {"policy": "demo/1", "against": "demo/base_policy"}),
        ("compare_world_models", {"model": "demo/1", "against": "demo/0"}),
        ("retracted", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())).replace("/", "."),
)
def test_answer(lake: Lake, snapshot: SnapshotAssertion, name: str, parameters: dict) -> None:
    if isinstance(seed := parameters.get("episode"), int):
        parameters = {"episode": episode(lake, seed)}
    assert readable(lake, run_audit(lake, name, parameters)) == snapshot


def test_every_audit_answers_nothing_or_refuses_on_an_empty_lake(tmp_path: Path) -> None:
    empty = Lake(tmp_path / "nothing")
    for audit in audits().values():
        assert audit.question.endswith("?")
        with connect(empty) as connection:
            answer = connection.sql(audit.sql, params={one.name: one.default or "x" for one in audit.parameters})
            assert set(audit.shown or ()) <= set(answer.columns)
            if audit.name.startswith("compare_"):
                with pytest.raises(duckdb.Error, match="refused: .* was never"):
                    answer.fetchall()
            elif audit.name != "lineage":
                assert answer.fetchall() == []
    assert not empty.root.exists()


def test_a_view_is_there_for_whoever_mentions_it_and_for_no_other(lake: Lake) -> None:
    whole = {
        name for (name,) in connect(lake).sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    }
    assert {"current", "version_edges", "materializations", "episodes"} <= whole
    few = connect(lake, "select * from published_failures -- and model_parents")
    names = {name for (name,) in few.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()}
    assert {"published_failures", "node_episodes", "current", "episode_sets", "retractions"} <= names
    assert not {"model_parents", "models", "sans", "frames"} & names
    columns = few.sql("select * from materializations limit 0").columns
    assert columns == TABLES["materializations"].light


def test_failures_of_one_iteration_are_exactly_those_that_trained_the_next(lake: Lake) -> None:
    trained = run_audit(lake, "failures_that_trained", {"model": "demo/0001"})
    published = connect(lake).sql("FROM published_failures WHERE iteration = '0000'").fetchall()
    assert {(row[2], row[3]) for row in published} == set(trained.select("episode_id", "policy_id").rows())
    assert len(published) == len(trained) == 3
    assert set(trained["policy_id"]) == {resolve_model(lake, "demo/0000", ("rl_policy",))}
    assert set(trained["iteration"]) == {"0000"}


def test_iterations_that_stand_half_way_are_shown(tmp_path: Path, lake: Lake) -> None:
    begun = Lake(tmp_path)
    sans = latest(lake)["sans", "demo", "0001"]
    rows = lake.read("sans", where=f"sans_version = '{sans.data_version}'")
    begun.insert("sans", rows, Commit("run", "sans"))
    publish(begun, replace(sans, iteration="0002", materialized_at=datetime.now(UTC)), Commit("run", "sans"))
    [row] = run_audit(begun, "loop_progress", {"campaign": "demo"}).to_dicts()
    assert (row["iteration"], row["sans_success"], row["fed_back"]) == ("0002", 8, 6)
    assert row["base_success"] is row["reward_alignment"] is row["gate"] is row["failures_published"] is None


def test_what_a_killed_evaluation_left_is_in_no_answer(tmp_path: Path, lake: Lake) -> None:
    killed = Lake(shutil.copytree(lake.root, tmp_path / "lake"))
    begun = [row | {"seed": row["seed"] + 100, "success": True} for row in lake.read("evaluations").to_pylist()]
    killed.insert("evaluations", begun, Commit("run", "evaluation", "demo", "0001"))
    for name, parameters in (
        ("loop_progress", {"campaign": "demo"}),
        ("interaction", {}),
        ("protocols", {}),
        ("measured_with", {"policy": "demo/1"}),
        ("compare_policies", {"policy": "demo/1", "against": "demo/base_policy"}),
    ):
        published = run_audit(lake, name, parameters)
        assert run_audit(killed, name, parameters).equals(published), name
        assert set(published["n" if "n" in published.columns else "evaluated"]) == {10}


@pytest.mark.parametrize("value", ["'", "x' OR '1'='1", "any'; DROP VIEW episodes; --", "$model", "%", "\x00"])
def test_sql_in_a_parameter_is_only_a_value(lake: Lake, value: str) -> None:
    assert run_audit(lake, "retracted", {"reason": value}).is_empty()
    for name, parameters in (
        *((audit, {one: value}) for audit in ("episodes_of", "downstream_of") for one in SELECTED_BY),
        ("training_difference", {"model": "demo/1", "against": value}),
        ("failures_that_trained", {"model": "demo/0001", "origin": value}),
        ("compare_policies", {"policy": "demo/1", "against": value}),
        ("near_success", {"campaign": value, "iteration": "0"}),
        ("near_success", {"campaign": "demo", "iteration": value}),
        ("models_trained_on", {"episode": value}),
        ("lineage", {"policy": value}),
    ):
        with pytest.raises(UserError):
            run_audit(lake, name, parameters)
    with pytest.raises(UserError, match="--as-of"):
        run_audit(lake, "tables", {}, as_of=f"demo/{value}")
    with pytest.raises(UserError, match="there is demo/0000, demo/0001"):
        run_audit(lake, "tables", {}, as_of=f"{value}/0001")


def test_audits_read_the_lake_and_nothing_else(lake: Lake) -> None:
    for query in ("FROM read_text('/etc/hostname')", "FROM lake", "COPY episodes TO 'stolen.csv'", "INSTALL httpfs"):
        with pytest.raises(Exception, match="(?i)disabled|does not exist|permission"):
            connect(lake).sql(query)


@pytest.mark.parametrize("name", ["unheard", "../secrets", "views/10_current", "/etc/passwd", "", "lineage.sql", "."])
def test_only_audits_that_exist_can_be_asked(lake: Lake, name: str) -> None:
    with pytest.raises(UserError, match="compare_policies, compare_world_models, downstream_of"):
        run_audit(lake, name, {})


def test_parameters_are_those_that_the_file_declares(lake: Lake) -> None:
    with pytest.raises(UserError, match="no parameter modle; audit lineage takes: policy"):
        run_audit(lake, "lineage", {"modle": "x", "policy": "x"})
    with pytest.raises(UserError, match="no parameter polcy; did you mean 'policy'"):
        run_audit(lake, "lineage", {"polcy": "x"})
    with pytest.raises(UserError, match="no audit 'linage'; did you mean 'lineage'"):
        run_audit(lake, "linage", {})
    with pytest.raises(UserError, match="needs --iteration; .*campaign .*, iteration"):
        run_audit(lake, "near_success", {"campaign": "demo"})


def test_models_are_named_by_prefix_or_place(lake: Lake) -> None:
    world_model = latest(lake)["world_model", "demo", "0001"].data_version
    assert resolve_model(lake, world_model[:6]) == world_model
    assert resolve_model(lake, "demo/1", ("world_model", "rl_policy")) == world_model
    assert resolve_model(lake, "demo/0001/world_model") == world_model
    assert resolve_model(lake, "demo/base_policy") == latest(lake)["base_policy", "demo", ""].data_version
    for text in ("", "demo/7", "demo/0001/judge", "other/0001", "demo/", "zz"):
        with pytest.raises(UserError) as error:
            resolve_model(lake, text)
        assert "world_model " + world_model[:12] in str(error.value)
        assert "(demo/0001/world_model)" in str(error.value)
    with pytest.raises(UserError, match="demo"):
        run_audit(lake, "loop_progress", {"campaign": "unheard"})
    with pytest.raises(UserError, match="0000; 0001"):
        run_audit(lake, "near_success", {"campaign": "demo", "iteration": "9"})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("task", "PushCube-v2", "no episode has the task 'PushCube-v2'; did you mean 'PushCube-v1'"),
        ("source", "expret", "did you mean 'expert'"),
        ("suite", "libero", "no episode has the suite 'libero'; there is synthetic"),
        ("seeds", "9-3", "write one seed or a range"),
        ("seeds", "-4", "write one seed or a range"),
        ("after", "yesterday", "write a date or a time"),
        ("before", "0001-01-01T00:00+23:00", "write a date or a time"),
        ("policy", "demo/7", "no rl_policy or base_policy was published as 'demo/7'"),
        ("episode", "zz", "no episode has an id that begins with 'zz'"),
    ],
)
def test_a_selection_of_what_is_not_there_names_what_is(lake: Lake, name: str, value: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_audit(lake, "episodes_of", {name: value})


def test_campaigns_are_suggested(lake: Lake) -> None:
    with pytest.raises(UserError, match="campaign 'dmeo' was materialized; did you mean 'demo'"):
        run_audit(lake, "loop_progress", {"campaign": "dmeo"})


def test_views_leave_bytes_out(lake: Lake) -> None:
    connection = connect(lake)
    columns = {name for (name,) in connection.sql("SELECT column_name FROM information_schema.columns").fetchall()}
    assert "episode_id" in columns
    stored = connection.sql("SELECT column_name FROM information_schema.columns WHERE table_name NOT LIKE 'lance_%'")
    assert not {"image", "weights", "strip", "payload"} & {name for (name,) in stored.fetchall()}


def test_every_audit_file_uses_each_parameter_it_declares() -> None:
    for audit in audits().values():
        statement = re.sub(r"--.*", "", audit.sql)
        assert set(re.findall(r"\$(\w+)", statement)) == {parameter.name for parameter in audit.parameters}
