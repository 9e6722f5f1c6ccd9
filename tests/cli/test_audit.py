import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.factories import synthetic_lake
from worldvla.cli.audit import CONTEXT_SETTINGS, audit, parse_parameters
from worldvla.errors import UserError
from worldvla.home import lake_root


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLDVLA_HOME", str(tmp_path_factory.mktemp("home")))
        synthetic_lake(Path(lake_root()))
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


def test_people_get_a_table() -> None:
    answer = ask("loop_progress", "--campaign", "demo")
    assert answer.exit_code == 0
    assert "passed" in answer.stdout
    assert "flip" not in answer.stdout


def test_list_says_what_there_is_and_what_it_takes() -> None:
    rows = {row["audit"]: row for row in json.loads(ask("--list", "--json").stdout)}
    assert set(rows) >= {"failures_that_trained", "models_trained_on", "lineage", "loop_progress", "near_success"}
    assert rows["failures_that_trained"]["parameters"] == "--model, --origin (default feedback)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name the audit first"),
        (("--model", "x", "lineage"), "name the audit first"),
        (("unheard",), "there is no audit 'unheard'; there are: failures_that_trained"),
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
