"""`worldvla retain` as a person or a script runs it."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.lake.published import abandon, recorded
from tests.planner import lakes
from worldvla.home import project_root
from worldvla.lake.commit import Commit
from worldvla.lake.digests import digest
from worldvla.lake.materializations import Materialization, latest, publish
from worldvla.lake.models import has_model, read_model
from worldvla.lake.store import Lake
from worldvla.lake.tags import tag_training
from worldvla.locks import at_work, campaign_lock
from worldvla.tracking.champion import promote, registered_name
from worldvla.tracking.training_run import DatasetReference, training_run


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    lake = Lake(tmp_path / "lake")
    lakes.loop(lake, 1)
    recorded(lake, "0000", "test")
    abandon(lake)
    return lake


def run(*arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "worldvla.cli.main", "retain", *arguments]
    done = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_a_dry_run_then_a_pin_then_the_real_thing(lake: Lake) -> None:
    model = latest(lake)["base_policy", "abandoned", ""].data_version
    status, out, err = run("--keep-days", "0", "--json")
    assert status == 0, err
    dry = {row["table"]: row for row in json.loads(out)}
    assert dry["models"]["removed_rows"] == 1 and dry["models"]["freed_bytes"] > 2**20
    assert f"base_policy {model}" in err and "--apply" in err and has_model(lake, model)

    assert json.loads(run("pin", "mine", "--model", model[:8], "--json")[1])[0]["model"] == model
    assert json.loads(run("--apply", "--keep-days", "0", "--json")[1])
    assert has_model(lake, model)
    assert json.loads(run("unpin", "mine", "--json")[1]) == []

    status, out, err = run("--apply", "--keep-days", "0", "--json")
    assert status == 0 and "MB freed" in err and f"{model} of abandoned" in err, err
    freed = {row["table"]: row["freed_bytes"] for row in json.loads(out)}
    assert freed["models"] > 2**20 and freed["frames"] > 0
    assert not has_model(lake, model) and lakes.not_fresh(lake) == {}


def test_checkpoints_that_nobody_went_on_with_go(lake: Lake, tmp_path: Path) -> None:
    def training(name: str, days_ago: float) -> Path:
        folder, clock = tmp_path / "checkpoints" / name, tmp_path / "checkpoints" / f"{name}.seconds"
        folder.mkdir(parents=True)
        (folder / "dynamics.safetensors").write_bytes(bytes(2**20))
        clock.write_text("60")
        for path in (folder / "dynamics.safetensors", folder, clock):
            os.utime(path, (time.time() - 86400 * days_ago,) * 2)
        return folder

    old, new = training("old", 8), training("new", 6)
    for apply, there in (((), True), (("--apply",), False)):
        status, out, err = run(*apply, "--json")
        assert status == 0, err
        [row] = [row for row in json.loads(out) if row["table"] == "checkpoints"]
        assert (row["rows"], row["removed_rows"]) == (4, 2) and 2**20 < row["freed_bytes"] < 2**20 + 10
        assert old.exists() == there == old.with_suffix(".seconds").exists() and new.exists()
    assert [row for row in json.loads(run("--json")[1]) if row["table"] == "checkpoints"][0]["rows"] == 2


def test_a_training_that_was_killed_before_its_first_checkpoint_keeps_what_it_read(lake: Lake, tmp_path: Path) -> None:
    tag_training(lake, "episodes", killed := digest("killed"))
    (clock := tmp_path / "checkpoints" / f"{killed}.seconds").parent.mkdir(parents=True)
    clock.write_text("60")
    assert run("--apply", "--json")[0] == 0 and f"training-{killed}" in lake.tags("episodes")
    clock.unlink()
    assert run("--apply", "--json")[0] == 0 and f"training-{killed}" not in lake.tags("episodes")


@pytest.mark.parametrize("name", ["model-backup-2026-11", "training-set-v1", "iteration.best"])
def test_a_persons_own_tag_is_a_pin_whatever_it_begins_with(lake: Lake, name: str) -> None:
    lake.tag("models", name, lake.version("models"))
    assert name in run("pins", "--json")[1]
    assert run("--apply", "--keep-days", "0", "--json")[0] == 0
    assert name in lake.tags("models") and len(lake.read("models")) == 1


def test_whom_the_last_evaluation_chose_is_kept_without_mlflow(lake: Lake) -> None:
    model = latest(lake)["base_policy", "abandoned", ""].data_version
    made = Materialization(
        "evaluation", "abandoned", "0000", "e", "1", "", {}, "f", "r", {"champion": {"after": model}}
    )
    for chosen in (model, "nobody"):
        details = {"champion": {"after": chosen}}
        publish(lake, replace(made, details=details, materialized_at=datetime.now(UTC)), Commit("r", "evaluation"))
        status, out, err = run("--keep-days", "0", "--json")
        assert status == 0 and "there is no MLflow database" in err
        removed = {row["table"]: row["removed_rows"] for row in json.loads(out)}["models"]
        assert removed == (chosen == "nobody")


@pytest.mark.parametrize("option", [("--apply",), ("--keep-days", "1"), ("--json",)])
def test_an_option_before_a_command_of_retain_is_not_passed_over(lake: Lake, option: tuple[str, ...]) -> None:
    status, out, err = run(*option, "pins")
    assert (status, out) == (2, "") and f"{option[0]} before `pins`" in err


@pytest.mark.parametrize("days", ["-1", "nan", "1e6", "1e12"])
def test_days_that_no_date_lies_back_are_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: str) -> None:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    status, out, err = run("--keep-days", days)
    assert (status, out) == (2, "") and "--keep-days" in err and "Traceback" not in err


@pytest.mark.slow
def test_the_champion_of_an_abandoned_campaign_is_kept(lake: Lake) -> None:
    model = latest(lake)["base_policy", "abandoned", ""].data_version
    dataset = DatasetReference("episodes", str(lake.path("episodes")), lake.version("episodes"), "digest", 16)
    with training_run("abandoned", "base_policy", "fingerprint", {}, dataset) as training:
        training.register(registered_name("abandoned"), model, "base_policy", {}, b"weights", [])
    status, out, _ = run("--keep-days", "0", "--json")
    assert status == 0 and {row["table"]: row["removed_rows"] for row in json.loads(out)}["models"] == 1
    promote("abandoned", model, lambda: read_model(lake, model))
    assert all(row["removed_rows"] == 0 for row in json.loads(run("--keep-days", "0", "--json")[1]))


def test_nothing_is_removed_while_a_campaign_runs(lake: Lake) -> None:
    with campaign_lock("test"):
        status, _, err = run("--apply", "--keep-days", "0")
    assert status == 2 and f"campaign test is being run by process {os.getpid()}" in err
    with campaign_lock("test", "which looks after the lake"):
        _, _, err = run("--apply", "--keep-days", "0")
    assert f"campaign test is held by process {os.getpid()}, which looks after the lake" in err
    assert len(lake.read("models")) == 1


def test_nothing_is_removed_while_something_is_made_or_imported(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of the Dagster daemon holds no campaign."""
    monkeypatch.setattr("worldvla.locks.PATIENCE_SECONDS", 0.2)
    with at_work(), at_work():
        status, _, err = run("--apply", "--keep-days", "0")
    assert status == 2 and "is being written to" in err
    assert len(lake.read("models")) == 1
    assert run("--apply", "--keep-days", "0")[0] == 0


def test_young_work_is_kept_by_default(lake: Lake) -> None:
    status, out, _ = run("--json")
    assert status == 0 and all(row["removed_rows"] == 0 for row in json.loads(out))


def test_there_is_nothing_to_pin_in_an_empty_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    status, out, err = run("pin", "mine")
    assert (status, out) == (2, "") and "holds no table yet" in err


def test_a_pin_that_is_not_there_is_a_message(lake: Lake) -> None:
    status, out, err = run("unpin", "nothing")
    assert (status, out) == (2, "") and "there is no pin 'nothing'" in err
