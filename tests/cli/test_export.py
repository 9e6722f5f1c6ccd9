import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.factories import synthetic_lake
from worldvla.cli.audit import CONTEXT_SETTINGS
from worldvla.cli.export import export
from worldvla.errors import UserError
from worldvla.home import lake_root
from worldvla.lake.episodes import episode_rows
from worldvla.lake.retractions import retract_episodes
from worldvla.lake.store import Lake


@pytest.fixture(scope="module", autouse=True)
def ids(tmp_path_factory: pytest.TempPathFactory):
    """The episodes of the home's lake; the last one is retracted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLDVLA_HOME", str(tmp_path_factory.mktemp("home")))
        lake: Lake = synthetic_lake(Path(lake_root()))
        found = episode_rows(lake)["episode_id"].to_list()
        retract_episodes(lake, found[-1:], "camera moved")
        yield found


def ask(*arguments: str):
    app = typer.Typer()
    app.command(context_settings=CONTEXT_SETTINGS)(export)
    return CliRunner().invoke(app, list(arguments))


def test_json_is_one_array_with_one_object(tmp_path: Path) -> None:
    answer = ask("lerobot", "--sans", "demo/1", "--to", str(tmp_path / "set"), "--version", "2.1", "--json")
    assert answer.exit_code == 0
    [row] = json.loads(answer.stdout)
    assert (row["format"], row["episodes"], row["frames"], row["left_out"]) == ("lerobot", 15, 135, {})
    assert row["bytes"] == sum(path.stat().st_size for path in (tmp_path / "set").rglob("*") if path.is_file())
    assert json.loads((tmp_path / "set/meta/info.json").read_text())["codebase_version"] == "v2.1"
    assert answer.stderr == ""


def test_an_audit_takes_its_own_parameters_and_retracted_episodes_are_told(ids: list[str], tmp_path: Path) -> None:
    answer = ask("parquet", "--audit", "episodes_of", "--source", "policy", "--to", str(tmp_path / "set"))
    assert answer.exit_code == 0
    assert f"left out, retracted: 1 ({ids[-1]})" in answer.stderr
    assert json.loads((tmp_path / "set/worldvla.json").read_text())["selection"]["parameters"] == {"source": "policy"}


def test_episodes_are_named_by_prefixes(ids: list[str], tmp_path: Path) -> None:
    answer = ask("hdf5", "--to", str(tmp_path / "set"), "--json", "--episodes", ids[0][:12], ids[3], ids[0])
    assert json.loads(answer.stdout)[0]["episodes"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("zarr", "--sans", "demo/1"),
            "there is no format 'zarr'; the formats are lerobot, hdf5, parquet, lerobot-lance",
        ),
        (("hdf5",), "say which episodes: --audit NAME, --sans"),
        (("hdf5", "--sans", "demo/1", "--audit", "near_success"), "one of them"),
        (
            ("hdf5", "--sans", "demo/1", "--crf", "3"),
            "--crf is of the formats lerobot and lerobot-lance alone, not hdf5",
        ),
        (("hdf5", "--sans", "demo/1", "--as-of", "demo/0"), "--as-of belongs to --audit"),
        (("hdf5", "--sans", "demo/1", "--task", "x"), "'--task' is no option of `worldvla export`"),
        (("lerobot", "--sans", "demo/1", "--version", "1.6"), "--version v1.6: the versions are v2.1, v3.0"),
        (("lerobot", "--sans", "demo/1", "--codec", "vp8"), "there is no such codec"),
        (("hdf5", "--episodes", "zz"), "zz"),
        (("hdf5", "--audit", "near_sucess"), "did you mean 'near_success'"),
    ],
)
def test_mistakes_are_named_and_leave_nothing(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    answer = ask(*arguments, "--to", str(tmp_path / "set"))
    assert isinstance(answer.exception, UserError)
    assert message in str(answer.exception)
    assert list(tmp_path.iterdir()) == []
