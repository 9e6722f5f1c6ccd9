"""`worldvla import`, and imports in the loop: a campaign lists them, and a further one makes it stale."""

import json

import pytest

from tests.exchange.importing import files
from tests.planner import lakes
from worldvla.cli import main
from worldvla.errors import UserError
from worldvla.exchange.importing.driver import bring_in
from worldvla.lake.episodes import set_members
from worldvla.lake.imports import imported_episodes
from worldvla.lake.store import Lake
from worldvla.locks import nobody_at_work

NAME = "put_the_bowl_on_the_plate_demo.hdf5"


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    """Runs a command in a home of its own; returns its exit status, standard output and standard error."""
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["worldvla", *map(str, arguments)])
        try:
            main.main()
            status = 0
        except SystemExit as end:
            status = end.code or 0
        out, err = capsys.readouterr()
        return status, out, err

    return run


def test_json_is_one_array_with_counts_and_mapping(ask, tmp_path):
    path = files.libero(tmp_path / NAME)
    status, out, _ = ask("import", "libero", path, "--suite", "libero_goal", "--name", "bowls", "--json")
    [row] = json.loads(out)
    assert status == 0 and (row["name"], row["records"], row["imported"], row["skipped"]) == ("bowls", 3, 3, 0)
    assert row["mapping"]["turn"] == "vertical" and {one["ours"] for one in row["mapped"]} >= {"actions", "success"}
    [again] = json.loads(ask("import", "libero", path, "--suite", "libero_goal", "--name", "bowls", "--json")[1])
    assert (again["skipped"], again["imported"]) == (3, 0)


def test_an_import_holds_the_lake(ask, tmp_path, monkeypatch):
    monkeypatch.setattr("worldvla.locks.PATIENCE_SECONDS", 0.1)

    def watched(*arguments):
        with pytest.raises(UserError, match="is being written to"), nobody_at_work():
            raise AssertionError("somebody looked after the lake meanwhile")
        return bring_in(*arguments)

    monkeypatch.setattr("worldvla.exchange.importing.driver.bring_in", watched)
    status, out, _ = ask("import", "libero", files.libero(tmp_path / NAME), "--suite", "libero_goal", "--json")
    assert status == 0 and json.loads(out)[0]["imported"] == 3


def test_a_dry_run_prints_mapping_and_counts_and_writes_nothing(ask, tmp_path):
    path = files.libero(tmp_path / NAME)
    status, out, _ = ask("import", "libero", path, "--suite", "libero_goal", "--dry-run", "--limit", "2")
    assert status == 0 and "flipped top to bottom" in out and "gripper -1 is open (1), 1 closed (-1)" in out
    assert not (tmp_path / "home" / "lake").exists()
    [row] = json.loads(ask("import", "libero", path, "--suite", "libero_goal", "--dry-run", "--json")[1])
    assert (row["records"], row["new"], row["refused"]) == (3, 3, 0)
    unheard = ("import", "libero", path.rename(tmp_path / "other_demo.hdf5"), "--suite", "libero_object", "--dry-run")
    [row] = json.loads(ask(*unheard, "--json")[1])
    assert (row["new"], row["refused"], row["refused_by"]) == (3, 3, {"task_unknown": 3})


@pytest.mark.parametrize(
    ("folder", "given", "name"),
    [
        ("robot/1.0.0", "robot/1.0.0", "robot_1_0_0"),
        ("takes.2024", "takes.2024", "takes_2024"),
        ("Küche 3", "Küche 3", "k_che_3"),
        ("robot", "robot/.", "robot"),
    ],
)
def test_a_dataset_is_called_as_its_folder_and_found_again_from_anywhere(
    ask, tmp_path, monkeypatch, folder, given, name
):
    files.rlds(tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    said = ("--suite", "my_robot", "--success", "all", "--map", "gripper=1:0", "--json")
    [row] = json.loads(ask("import", "rlds", given, *said)[1])
    assert (row["name"], row["imported"]) == (name, 3)
    assert set(Lake(tmp_path / "home" / "lake").frame("imports")["path"]) == {str(tmp_path / folder)}


def test_mistakes_are_one_line(ask, tmp_path):
    path = files.robomimic(tmp_path / "lift.hdf5")
    for arguments, message in (
        (("hdf6", path), "there is no format 'hdf6'"),
        (("libero", tmp_path / "nowhere"), "does not exist"),
        (("libero", path), "unknown is not failure"),
        (("libero", path, "--success", "rewards", "--map", "actions"), "write it as KEY=FIELD"),
        (("libero", path, "--success", "rewards", "--map", "gripper=1:1"), "two different numbers"),
        (("libero", path, "--success", "rewards", "--chunk", "0"), "--chunk 0"),
        (("rlds", files.rlds(tmp_path / "机器人"), "--success", "all", "--map", "gripper=1:0"), "--name: "),
    ):
        status, out, err = ask("import", *arguments, "--suite", "my_robot")
        assert status == 2 and out == "" and err.startswith("error: ") and message in err, err


def test_refused_records_are_listed_and_say_where_they_lie(ask, tmp_path):
    import h5py

    path = files.libero(tmp_path / NAME)
    with h5py.File(path, "a") as file:
        del file["data/demo_1/actions"]
        file["data/demo_2/actions"][3, 0] = float("inf")
    ask("import", "libero", path, "--suite", "libero_goal", "--json")
    listed = json.loads(ask("quarantine", "list", "--source", "import", "--json")[1])
    assert {row["rules"][0]: row["status"] for row in listed} == {
        "field_missing": "quarantined",
        "action_not_finite": "quarantined",
    }
    [missing] = [row for row in listed if row["rules"] == ["field_missing"]]
    status, out, err = ask("quarantine", "show", missing["record"])
    assert status == 0 and "data/demo_1 has no dataset actions" in err
    status, _, err = ask("quarantine", "release", missing["record"], "--reason", "never mind")
    assert status == 2 and "is no episode" in err and "It is demo_1 of" in err
    assert len(json.loads(ask("quarantine", "list", "--rule", "field_missing", "--json")[1])) == 1


def test_a_further_import_makes_the_campaign_stale(ask, tmp_path, monkeypatch):
    """With the planner on a real lake whose other nodes hold synthetic episodes."""
    path = files.libero(tmp_path / NAME, demos=2)
    ask("import", "libero", path, "--suite", "libero_goal", "--name", "bowls", "--json")
    lake = Lake(tmp_path / "home" / "lake")
    base = lakes.campaigns.load(lakes.CAMPAIGN)
    monkeypatch.setattr(lakes.campaigns, "load", lambda name: base.model_copy(update={"imports": ["bowls"]}))
    made = lakes._content

    def content(lake, node, run, parents, commit):
        if node.name == "imported_episodes":
            return lakes.write_set(lake, imported_episodes(lake, ["bowls"]), commit)
        return made(lake, node, run, parents, commit)

    monkeypatch.setattr(lakes, "_content", content)
    lakes.loop(lake, 1)
    assert lakes.not_fresh(lake) == {}
    version = lakes.current(lake)["raw_episodes", lakes.CAMPAIGN, ""].data_version
    assert set(imported_episodes(lake, ["bowls"])) < set(set_members(lake, version))
    again = files.libero(tmp_path / "more" / NAME, demos=3)
    ask("import", "libero", again, "--suite", "libero_goal", "--name", "bowls", "--json")
    stale = lakes.not_fresh(lake)
    assert "3 episodes were imported since" in stale["imported_episodes", ""]
    assert "imported_episodes is stale" in stale["raw_episodes", ""]
    assert ("demonstrations", "") not in stale
    lakes.rematerialize(lake)
    assert lakes.not_fresh(lake) == {}
