"""Hostile names, parameters and tables: a clear error, nothing outside the home, nothing executed, nothing huge."""

import io
import json
import os
import shutil
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pytest
from PIL import Image

from tests.factories import synthetic_episode, synthetic_lake
from tests.report import test_report as reports
from worldvla import campaigns
from worldvla.cli.main import main
from worldvla.errors import UserError
from worldvla.home import project_root
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import load_bank, write_episodes
from worldvla.lake.materializations import latest, publish
from worldvla.lake.models import read_model, write_model
from worldvla.lake.names import resolve_episode, resolve_model
from worldvla.lake.query import run_audit
from worldvla.lake.store import Lake
from worldvla.lake.tables import TABLES
from worldvla.report.page import build

COMMIT = Commit("hostile", "demonstrations")
PATHS = ["../../evil", "/etc/passwd", "a/../../b", "..", ".", "", "~/evil", "evil\x00.yaml", "a\nb", "x" * 300]
SQL = ["' OR '1'='1", "x'; DROP TABLE episodes; --", "x') UNION SELECT 1 --", '"; DROP TABLE episodes; --', "%", "\\'"]
OVERSIZED = "9" * 100_000
LONGEST_MESSAGE = 4000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "lake"
    synthetic_lake(folder)
    return folder


@pytest.fixture
def lake(made: Path, home: Path) -> Lake:
    """A lake of the test's own, to spoil."""
    shutil.copytree(made, home / "lake")
    return Lake.default()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Runs `worldvla` in this process: exit status, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["worldvla", *arguments])
        capfd.readouterr()
        try:
            main()
            status: Any = 0
        except SystemExit as end:
            status = end.code
        out, err = capfd.readouterr()
        return status or 0, out, err

    return run


def _refused(answer: tuple[int, str, str]) -> str:
    """The message of a command that said what is wrong, shortly and without a stack trace."""
    status, out, err = answer
    assert status == 2, (status, out[:500], err[-2000:])
    assert "Traceback" not in err and out == ""
    assert 0 < len(err) <= LONGEST_MESSAGE
    assert "\x1b" not in err
    return err


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", [name for name in PATHS if "\x00" not in name])
def test_a_campaign_cannot_be_a_path(command, lake: Lake, home: Path, name: str) -> None:
    before = _files(home.parent)
    _refused(command("loop", "--campaign", name))
    _refused(command("report", "--campaign", name))
    _refused(command("status", "--campaign", name))
    if name:
        _refused(command("loop", "--campaign", "test", "--set", "rl.updates=3", "--name", name))
    assert _files(home.parent) == before


@pytest.mark.parametrize("name", PATHS)
def test_a_name_that_the_library_is_given_cannot_be_a_path(lake: Lake, home: Path, name: str) -> None:
    before = _files(home.parent)
    with pytest.raises(UserError):
        campaigns.load(name)
    if name:
        with pytest.raises(UserError):
            campaigns.make_variant("test", {"rl.updates": 3}, name)
    with pytest.raises(UserError):
        run_audit(lake, name, {})
    with pytest.raises(UserError):
        resolve_model(lake, name + "/x")
    with pytest.raises(KeyError):
        lake.path(name)
    assert _files(home.parent) == before


@pytest.mark.parametrize("text", SQL)
def test_sql_in_a_parameter_is_a_value(command, lake: Lake, text: str) -> None:
    versions = lake.versions()
    _refused(command("audit", "loop_progress", f"--campaign={text}"))
    _refused(command("audit", "failures_that_trained", f"--model={text}"))
    _refused(command("audit", "models_trained_on", f"--episode={text}"))
    _refused(command("audit", "near_success", "--campaign=demo", f"--iteration={text}"))
    _refused(command("audit", text))
    _refused(command("retract", text, "--reason", "x"))
    assert lake.versions() == versions


def test_sql_in_a_stored_value_is_a_value(lake: Lake) -> None:
    for text in SQL:
        row = {"episode_id": text, "reason": text, "retracted_at": None}
        lake.insert("retractions", [row], COMMIT)
        lake.insert("retractions", [row], COMMIT)
    assert sorted(lake.frame("retractions")["episode_id"]) == sorted(SQL)


def test_an_oversized_value_is_refused_in_few_words(command, lake: Lake) -> None:
    _refused(command("audit", "loop_progress", "--campaign", OVERSIZED))
    _refused(command("audit", "models_trained_on", "--episode", OVERSIZED))
    _refused(command("audit", "near_success", "--campaign", "demo", "--iteration", OVERSIZED))
    _refused(command("audit", "failures_that_trained", "--model", "demo/" + OVERSIZED))
    _refused(command("loop", "--campaign", "test", "--set", f"rl.updates={OVERSIZED}"))
    _refused(command("loop", "--campaign", "test", "--set", f"scene.tasks=[{OVERSIZED}]"))
    _refused(command("loop", "--campaign", "test", "--set", "rl.updates=" + "[" * 5000))
    _refused(command("loop", "--campaign", "demo", "--iterations", "1000000000000"))
    episode = lake.frame("episodes", ["episode_id"])["episode_id"][0]
    _refused(command("retract", episode, "--reason", OVERSIZED))


@pytest.mark.parametrize(
    "setting",
    [
        "seed=!!python/object/apply:os.system [id]",
        "seed=!!python/name:os.system",
        "__class__.x=1",
        "rl=.inf",
        "rl.updates=.nan",
    ],
)
def test_a_setting_is_data_and_validated(command, home: Path, setting: str) -> None:
    _refused(command("loop", "--campaign", "test", "--set", setting))


def test_a_campaigns_file_is_validated(command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = (project_root() / "pipelines" / "campaigns.yaml").read_text()
    for text in (
        own + "  ../../evil: {preset: tiny}\n",
        own + "  7: {preset: tiny}\n",
        own + "  bad: [1, 2]\n",
        own + "  bad: {preset: [tiny]}\n",
        own + "  bad: !!python/object/apply:os.system [id]\n",
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{n}: &{n} [{', '.join(['*' + m] * 9)}]\n" for m, n in zip("abcdefgh", "bcdefghi", strict=True)),
        "[" * 5000,
    ):
        (tmp_path / "campaigns.yaml").write_text(text)
        monkeypatch.setenv("WORLDVLA_CAMPAIGNS", str(tmp_path / "campaigns.yaml"))
        _refused(command("loop", "--campaign", "bad"))
    assert not (tmp_path.parent / "evil.lock").exists()


@pytest.mark.parametrize(
    "content",
    ["campaign: loop\nset: {}\n", "[]\n", "campaign: [x]\nset: 3\n", "a: [\n", "campaign: test\nset: {1: 2}\n"],
)
def test_a_variant_file_is_validated(command, home: Path, content: str) -> None:
    (home / "campaigns").mkdir(parents=True)
    (home / "campaigns" / "loop.yaml").write_text(content)
    _refused(command("loop", "--campaign", "loop"))


def test_names_in_a_table_are_shown_and_lead_nowhere(command, lake: Lake, home: Path) -> None:
    known = next(record for record in latest(lake).values() if record.asset == "demonstrations")
    for campaign in ("../../evil", "\x1b[2Jcleared", "x" * 10_000):
        publish(lake, replace(known, campaign=campaign), COMMIT)
    before = _files(home.parent)
    status, out, err = command("status", "--json")
    assert status == 0, err
    assert json.loads(out)
    _refused(command("report", "--campaign", "../../evil"))
    status, out, err = command("audit", "loop_progress", "--campaign", "demo")
    assert status == 0
    for arguments in (["status"], ["audit", "--list"]):
        _, out, err = command(*arguments)
        assert "\x1b[2J" not in out + err
    assert _files(home.parent) == before


def test_a_name_in_a_table_leads_no_lock_elsewhere(command, lake: Lake, home: Path) -> None:
    known = next(record for record in latest(lake).values() if record.asset == "demonstrations")
    for campaign in ("../../precious", "x" * 10_000):
        publish(lake, replace(known, campaign=campaign), COMMIT)
    precious = home.parent / "precious.lock"
    precious.write_text("somebody else's")
    status, _, err = command("retain", "--apply")
    assert status == 0, err
    assert precious.read_text() == "somebody else's"


@pytest.mark.parametrize(
    "change",
    [
        {"asset": "no_such_asset"},
        {"asset": "../../evil"},
        {"iteration": "not a number", "asset": "sans"},
        {"iteration": "9" * 50, "asset": "sans"},
        {"details": '{"'},
        {"details": "[" * 100_000},
        {"parents": "[1, 2]"},
        {"tables": "null"},
        {"materialized_at": None},
        {"data_version": None},
    ],
    ids=lambda change: "-".join(change),
)
def test_a_forged_publication_is_named_or_ignored(command, lake: Lake, change: dict) -> None:
    row = lake.open("materializations").to_table(filter="asset = 'demonstrations'").to_pylist()[0] | change
    lance.write_dataset(TABLES["materializations"].arrow([row]), lake.path("materializations"), mode="append")
    status, out, err = command("status", "--json")
    assert "Traceback" not in err and len(err) <= LONGEST_MESSAGE
    assert (status == 0 and json.loads(out)) or (status == 2 and "materializations" in err), (status, err)


def _spoil(lake: Lake, table: str, episode: str, change: dict) -> None:
    """The table with some values of one episode's rows changed."""
    rows = lake.open(table).to_table(filter=f"episode_id = '{episode}'").to_pylist()
    lake.delete(table, f"episode_id = '{episode}'")
    lance.write_dataset(TABLES[table].arrow([row | change for row in rows]), lake.path(table), mode="append")


def _bomb(width: int, height: int) -> bytes:
    """A PNG of some bytes that says it is this large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def _postscript() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, format="EPS")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        ("episodes", {"length": 2**31 - 1}, "frames"),
        ("episodes", {"length": -5}, "length"),
        ("frames", {"step": 2}, "frames"),
        ("frames", {"step": 2**31 - 1}, "step"),
        ("frames", {"step": -1}, "step"),
        ("frames", {"action": [0.0] * 3}, "action"),
        ("frames", {"image": b"not a picture"}, "damaged"),
        ("frames", {"image": _bomb(30_000, 30_000)}, "damaged"),
        ("frames", {"image": _postscript()}, "damaged"),
    ],
    ids=["too-long", "negative-length", "one-step", "far-step", "negative-step", "action", "no-picture", "bomb", "eps"],
)
def test_a_forged_episode_is_refused_by_name(lake: Lake, table: str, change: dict, said: str) -> None:
    ids = lake.frame("episodes", ["episode_id"])["episode_id"].to_list()
    _spoil(lake, table, ids[0], change)
    with pytest.raises(UserError) as caught:
        load_bank(lake, ids[:2], 32)
    assert ids[0] in str(caught.value) and said in str(caught.value)


def test_a_picture_that_unpacks_into_gigabytes_is_not_decoded(lake: Lake) -> None:
    [episode] = write_episodes(lake, [replace(synthetic_episode(999), images=[_bomb(30_000, 30_000)] * 17)], COMMIT)
    with pytest.raises(UserError, match="is damaged"):
        load_bank(lake, [episode], 16)


@pytest.mark.parametrize(
    ("config", "weights"),
    [
        ({"width": 10**12}, b"not safetensors"),
        ({}, b"\xff" * 8),
        ({"width": "64"}, (2**62).to_bytes(8, "little") + b"{}"),
    ],
)
def test_a_forged_model_is_refused_before_it_is_built(lake: Lake, config: dict, weights: bytes) -> None:
    from worldvla.policy.vla import Policy

    model_id = write_model(lake, "base_policy", config, weights, {}, {}, None, None, COMMIT)
    model = read_model(lake, model_id)
    with pytest.raises(UserError, match="configuration|weights"):
        Policy.from_bytes(model.config, model.weights)


def test_weights_of_another_model_are_refused(lake: Lake) -> None:
    lake.delete("models", "kind = 'judge'")
    good = lake.open("models").to_table(columns=["model_id"]).to_pylist()[0]["model_id"]
    forged = write_model(lake, "base_policy", {"a": 1}, b"other", {}, {}, None, None, COMMIT)
    rows = lake.open("models").to_table(columns=["kind", "config"], filter=f"model_id = '{forged}'").to_pylist()
    row = rows[0] | {"model_id": "f" * 32, "weights": b"other", "parents": "{}", "metrics": "{}"}
    lance.write_dataset(TABLES["models"].arrow([row]), lake.path("models"), mode="append")
    assert read_model(lake, good).weights
    with pytest.raises(UserError, match="damaged"):
        read_model(lake, "f" * 32)


def test_ids_with_quotes_find_nothing(lake: Lake) -> None:
    for text in SQL:
        with pytest.raises(UserError):
            resolve_episode(lake, text)
        with pytest.raises(UserError):
            read_model(lake, text)


def test_a_report_shows_markup_as_text(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marked = "<script>alert(1)</script>"
    plain = reports.alignment_row
    monkeypatch.setattr(reports, "alignment_row", lambda index: plain(index) | {"task": marked})
    page = build(reports.trained_lake(home / "lake"), "c").read_text()
    assert marked not in page
    assert "&lt;script&gt;" in page


def test_the_lake_can_read_no_file_and_no_network_in_sql(lake: Lake) -> None:
    import duckdb

    from worldvla.lake.query import connect

    with connect(lake) as connection:
        for sql in ("SELECT * FROM read_text('/etc/passwd')", "COPY episodes TO '/tmp/evil'", "INSTALL httpfs"):
            with pytest.raises(duckdb.Error):
                connection.execute(sql)
        with pytest.raises(duckdb.Error):
            connection.execute("SET enable_external_access = true")
    assert not os.path.exists("/tmp/evil")


def test_arrays_are_bounded_by_what_is_stored(lake: Lake) -> None:
    ids = lake.frame("episodes", ["episode_id"])["episode_id"].to_list()
    assert load_bank(lake, ids[:2], 16).images.nbytes < 1e6
    assert np.isfinite(load_bank(lake, ids[:2], 16).actions).all()
