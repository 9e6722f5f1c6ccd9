import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.factories import synthetic_lake
from worldvla.cli.audit import CONTEXT_SETTINGS, audit, parse_parameters
from worldvla.errors import UserError
from worldvla.home import lake_root
from worldvla.lake.commit import Commit


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLDVLA_HOME", str(tmp_path_factory.mktemp("home")))
        lake = synthetic_lake(Path(lake_root()))
        row = {"campaign": "demo", "iteration": "0000", "tables": {"episodes": 1, "sans": lake.version("sans")}}
        lake.insert("iterations", [row], Commit("run", "iteration_record", "demo", "0000"))
        yield


def ask(*arguments: str):
    app = typer.Typer()
    app.command(context_settings=CONTEXT_SETTINGS)(audit)
    return CliRunner().invoke(app, list(arguments))


def test_json_is_one_array_of_objects_and_nothing_else() -> None:
    for arguments in (
        ("failures_that_trained", "--model", "demo/0001", "--json"),
        ("failures_that_trained", "--json", "--model=demo/1", "--origin=feedback"),
    ):
        answer = ask(*arguments)
        assert answer.exit_code == 0
        assert [row["seed"] for row in json.loads(answer.stdout)] == [101, 103, 105]
        assert answer.stderr == ""
    assert json.loads(ask("failures_that_trained", "--model", "demo/0000", "--json").stdout) == []


def test_who_gets_no_row_is_told_what_the_question_left_out() -> None:
    nothing = ask("failures_that_trained", "--model", "demo/0000")
    assert nothing.exit_code == 0 and "--origin any counts" in nothing.stderr
    assert json.loads(ask("failures_that_trained", "--model", "demo/0", "--origin", "any", "--json").stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("failures_that_trained", "--model", "demo/1", "--origin", "feedbak"), "did you mean 'feedback'"),
        (("models_trained_on_file", "--file", "nothere.hdf5"), "nothing was imported from or as 'nothere.hdf5'"),
    ],
)
def test_a_value_that_names_nothing_is_a_mistake(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        raise ask(*arguments).exception


def test_a_damaged_file_is_named_with_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    lake = synthetic_lake(Path(lake_root()))
    lost = max((Path(lake.path("sans")) / "data").glob("*.lance"))
    lost.write_bytes(lost.read_bytes()[:-100])
    for arguments in (
        ("near_success", "--campaign", "demo", "--iteration", "1"),
        ("loop_progress", "--campaign", "demo"),
    ):
        with pytest.raises(UserError, match=f"table sans cannot be read.*{lost.name}"):
            raise ask(*arguments).exception


def test_people_get_a_table() -> None:
    answer = ask("loop_progress", "--campaign", "demo")
    assert answer.exit_code == 0
    assert "passed" in answer.stdout
    assert "flip" not in answer.stdout


def test_any_audit_can_be_asked_as_of_a_night() -> None:
    now = {row["table_name"]: row for row in json.loads(ask("tables", "--json").stdout)}
    then = json.loads(ask("tables", "--as-of", "demo/0", "--json").stdout)
    assert [(row["table_name"], row["rows"]) for row in then] == [("episodes", 0), ("sans", now["sans"]["rows"])]
    assert now["episodes"]["rows"] > 0 and now["episodes"]["asset"] == "policy_rollouts"
    assert ask("episodes_of", "--as-of=demo/0000", "--json").stdout == "[]\n"
    assert len(json.loads(ask("episodes_of", "--json").stdout)) == now["episodes"]["rows"]


def test_people_are_shown_the_beginning_of_a_long_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldvla.cli.audit.ROWS_SHOWN", 2)
    answer = ask("failures_that_trained", "--model", "demo/0001")
    assert "… and 1 more rows; --json gives all" in answer.stderr
    assert answer.stdout.count("PushCube-v1") == 2
    assert len(json.loads(ask("failures_that_trained", "--model", "demo/0001", "--json").stdout)) == 3


def test_list_says_what_there_is_and_what_it_takes() -> None:
    rows = {row["audit"]: row for row in json.loads(ask("--list", "--json").stdout)}
    assert set(rows) >= {"failures_that_trained", "models_trained_on", "lineage", "loop_progress", "near_success"}
    assert rows["failures_that_trained"]["parameters"] == "--model, --origin (default feedback)"
    assert rows["failures_that_trained"]["meaning"]["origin"].startswith("how the episodes came to SANS")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name the audit first"),
        (("--model", "x", "lineage"), "name the audit first"),
        (("unheard",), "there is no audit 'unheard'; there are: compare_policies"),
        (("linage", "--policy", "x"), "did you mean 'lineage'?"),
        (("lineage", "--polcy", "x"), "has no parameter polcy; did you mean 'policy'?"),
        (("tables", "--as-of", "demo"), "write CAMPAIGN/ITERATION"),
        (("tables", "--as-of", "demo/9"), "no such iteration was ever completed; there is demo/0000"),
        (("compare_policies", "--policy", "demo/1", "--against", "demo/7"), "published as 'demo/7'"),
        (("lineage",), "needs --policy"),
        (("lineage", "--policy", "demo/0001", "--limit", "3"), "no parameter limit"),
        (("lineage", "--policy"), "--policy needs a value"),
        (("lineage", "policy"), "'policy' is no parameter"),
        (("lineage", "--policy", "a", "--policy", "b"), "twice"),
        (("lineage", "--policy", "demo/0009"), "rl_policy"),
    ],
)
def test_mistakes_are_named(arguments: tuple[str, ...], message: str) -> None:
    answer = ask(*arguments)
    assert isinstance(answer.exception, UserError)
    assert message in str(answer.exception)
    assert answer.stdout == ""


def test_values_may_hold_anything() -> None:
    assert parse_parameters(["--a", "--b", "--c-d=e=f"]) == {"a": "--b", "c_d": "e=f"}
