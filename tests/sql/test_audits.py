"""The audits' answers on a synthetic lake of two iterations, as golden files.

Digests depend on the image encoder's version, so the answers show readable names in their place.
"""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

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


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return synthetic_lake(tmp_path_factory.mktemp("lake"))


def readable(lake: Lake, answer: pl.DataFrame) -> str:
    """One JSON object a row, ids replaced by what they stand for, numbers to 4 digits."""
    names = {row["episode_id"]: f"<episode {row['seed']}>" for row in lake.read("episodes").to_pylist()}
    for asset, _, iteration in reversed(latest(lake)):
        names[latest(lake)[asset, "demo", iteration].data_version] = f"<{asset} {iteration}>".replace(" >", ">")
    lines = []
    for row in answer.to_dicts():
        rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}
        line = json.dumps(rounded)
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
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())).replace("/", "."),
)
def test_answer(lake: Lake, snapshot: SnapshotAssertion, name: str, parameters: dict) -> None:
    if isinstance(seed := parameters.get("episode"), int):
        parameters = {"episode": episode(lake, seed)}
    assert readable(lake, run_audit(lake, name, parameters)) == snapshot


def test_every_audit_is_asked_for_above_or_answers_nothing_on_an_empty_lake(tmp_path: Path) -> None:
    empty = Lake(tmp_path / "nothing")
    for audit in audits().values():
        assert audit.question.endswith("?")
        with connect(empty) as connection:
            answer = connection.sql(audit.sql, params={one.name: "x" for one in audit.parameters})
            assert set(audit.shown or ()) <= set(answer.columns)
    assert not empty.root.exists()


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
    assert (row["iteration"], row["sans_success"], row["fed_back"]) == ("0002", 5, 3)
    assert row["base_success"] is row["reward_alignment"] is row["gate"] is row["failures_published"] is None


@pytest.mark.parametrize("value", ["'", "x' OR '1'='1", "any'; DROP VIEW episodes; --", "$model", "%", "\x00"])
def test_sql_in_a_parameter_is_only_a_value(lake: Lake, value: str) -> None:
    assert run_audit(lake, "failures_that_trained", {"model": "demo/0001", "origin": value}).is_empty()
    for name, parameters in (
        ("near_success", {"campaign": value, "iteration": "0"}),
        ("near_success", {"campaign": "demo", "iteration": value}),
        ("models_trained_on", {"episode": value}),
        ("lineage", {"policy": value}),
    ):
        with pytest.raises(UserError):
            run_audit(lake, name, parameters)


def test_audits_read_the_lake_and_nothing_else(lake: Lake) -> None:
    for query in ("FROM read_text('/etc/hostname')", "FROM lake", "COPY episodes TO 'stolen.csv'", "INSTALL httpfs"):
        with pytest.raises(Exception, match="(?i)disabled|does not exist|permission"):
            connect(lake).sql(query)


@pytest.mark.parametrize("name", ["unheard", "../secrets", "views/10_current", "/etc/passwd", "", "lineage.sql", "."])
def test_only_audits_that_exist_can_be_asked(lake: Lake, name: str) -> None:
    with pytest.raises(UserError, match="failures_that_trained, lineage, loop_progress"):
        run_audit(lake, name, {})


def test_parameters_are_those_that_the_file_declares(lake: Lake) -> None:
    with pytest.raises(UserError, match="no parameter modle; audit lineage takes: policy"):
        run_audit(lake, "lineage", {"modle": "x", "policy": "x"})
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
