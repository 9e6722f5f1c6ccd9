"""LeRobot v2.1 and v3.0: what lerobot writes, what this project exports, damage, and the hub."""

import http.server
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.exchange.importing import files
from tests.exchange.importing.bringing import bring, episodes, refusals, shown
from tests.factories import seldom_drawn, synthetic_episode
from worldvla.episodes.images import encode_image
from worldvla.errors import UserError
from worldvla.exchange.exporting.run import Video, make_writer
from worldvla.lake.store import Lake

GIVEN = {"gripper": "1:-1"}
VERSIONS = ("v2.1", "v3.0")
COMMIT = "1" * 40


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake")


def apart(episode, number: int) -> float:
    """Mean difference in grey levels from the pictures that the dataset was made of."""
    large = np.repeat(np.repeat(files.pictures(files.STEPS, number), 4, 1), 4, 2)
    return float(np.abs(shown(episode).astype(int) - large).mean())


@pytest.mark.parametrize("version", VERSIONS)
def test_every_episode_has_its_own_numbers_and_pictures(lake, tmp_path, version):
    outcome = bring(lake, "lerobot", files.lerobot(tmp_path / "set", version), **GIVEN)
    assert (outcome.records, outcome.imported) == (3, 3)
    for number, episode in enumerate(episodes(lake)):
        assert np.array_equal(episode.actions, files.actions(files.STEPS, number)[:-1])
        assert np.array_equal(episode.proprio, files.proprio(files.STEPS, 7, number))
        assert apart(episode, number) < 6 < apart(episode, number + 1)
        assert episode.success == (number != 1) and episode.instruction == files.INSTRUCTION
        assert episode.task == "put_the_cup_on_the_plate"
        assert np.allclose(episode.timestamps, np.arange(17) / 20, atol=1e-6)
    [row, *_] = lake.frame("imports").to_dicts()
    assert {Path(name).suffix for name in json.loads(row["files"])} == {".parquet", ".mp4"}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_exported_comes_back_without_loss_of_numbers(lake, tmp_path, version):
    made = [synthetic_episode(seed, success=seed != 1, size=64, best_progress=None) for seed in range(3)]
    writer = make_writer("lerobot", tmp_path / "set", Video(version=version, crf=6, fps=30000 / 1001))
    for episode in made:
        writer.add(episode, {"task": episode.task, "initial_state": episode.initial_state.tolist()})
    writer.finish()
    assert bring(lake, "lerobot", tmp_path / "set").imported == 3
    for episode, original in zip(episodes(lake), made, strict=True):
        assert episode.settings["fps"] == 30000 / 1001
        for name in ("actions", "proprio", "reward", "progress", "initial_state"):
            assert np.array_equal(getattr(episode, name), getattr(original, name)), name
        assert (episode.task, episode.instruction) == (original.task, original.instruction)
        assert episode.timestamps is None and episode.length == original.length


def described(root: Path, change) -> None:
    """Changes the rows of a v3.0 dataset's metadata."""
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.parametrize("tasks", ["open the door", [None], [], ["open the door", " open the door"], ["a", "b"]])
def test_an_episode_is_of_one_task_however_its_metadata_say_so(lake, tmp_path, tasks):
    root = files.lerobot(tmp_path / "set", "v2.1")
    rows = [json.loads(line) for line in (root / "meta/episodes.jsonl").read_text().splitlines()]
    (root / "meta/episodes.jsonl").write_text("".join(json.dumps(row | {"tasks": tasks}) + "\n" for row in rows))
    outcome = bring(lake, "lerobot", root, **GIVEN)
    if "open the door" in tasks:
        assert outcome.imported == 3
        assert {(one.task, one.instruction) for one in episodes(lake)} == {("open_the_door", "open the door")}
        return
    assert dict(outcome.refusals)["instruction_unknown" if tasks == ["a", "b"] else "task_unknown"] == 3
    assert (tasks != ["a", "b"]) or "has 2 tasks: 'a', 'b'; --instruction says which" in str(refusals(lake))
    assert bring(lake, "lerobot", root, **GIVEN, instruction="open the door").imported == 3


def test_metadata_that_were_mended_are_read_again(lake, tmp_path):
    root = files.lerobot(tmp_path / "set", "v3.0")
    key = "videos/observation.images.top/from_timestamp"

    def spoil(rows: list[dict]) -> None:
        rows[1][key] = None
        rows[2]["tasks"] = ["opne the door"]

    described(root, spoil)
    assert bring(lake, "lerobot", root, **GIVEN).imported == 2
    assert bring(lake, "lerobot", root, **GIVEN).skipped == 3

    def mend(rows: list[dict]) -> None:
        rows[1][key] = files.STEPS / 20
        rows[2]["tasks"] = [files.INSTRUCTION]

    described(root, mend)
    outcome = bring(lake, "lerobot", root, **GIVEN)
    assert (outcome.imported, outcome.skipped) == (2, 1)
    assert [one.seed for one in episodes(lake) if one.instruction == files.INSTRUCTION] == [0, 1, 2]


def spoil_table(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def nan(path: Path) -> None:
    table = pq.read_table(path)
    values = np.array(table["action"].to_pylist(), np.float32)
    values[2, 1] = np.nan
    index = table.schema.get_field_index("action")
    kind = table.schema.field("action").type
    pq.write_table(table.set_column(index, "action", pa.array(list(values), kind)), path)


def without_action(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop(["action"]), path)


def short_video(path: Path) -> None:
    files.video(path, files.pictures(files.STEPS - 5, 1))


def short_table(path: Path) -> None:
    pq.write_table(pq.read_table(path).slice(0, 9), path)


DATA, FILM = "data/chunk-000/episode_000001.parquet", "videos/chunk-000/observation.images.top/episode_000001.mp4"
DAMAGE = [
    (DATA, spoil_table, "file_unreadable"),
    (DATA, nan, "action_not_finite"),
    (DATA, without_action, "field_missing"),
    (DATA, short_table, "frame_count"),
    (DATA, Path.unlink, "file_unreadable"),
    (FILM, half, "video_undecodable"),
    (FILM, short_video, "frame_count"),
    (FILM, Path.unlink, "file_unreadable"),
]


@pytest.mark.parametrize(("name", "spoil", "rule"), DAMAGE, ids=lambda one: getattr(one, "__name__", one))
def test_a_damaged_episode_is_quarantined_and_the_others_come_in(lake, tmp_path, name, spoil, rule):
    root = files.lerobot(tmp_path / "set", "v2.1")
    spoil(root / name)
    outcome = bring(lake, "lerobot", root, **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (2, {rule: 1})
    assert [episode.seed for episode in episodes(lake)] == [0, 2]
    assert list(refusals(lake)) == [rule]


def test_rows_missing_in_a_file_of_many_cost_their_episode_alone(lake, tmp_path):
    root = files.lerobot(tmp_path / "set", "v3.0")
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.filter([one != 1 for one in table["episode_index"].to_pylist()]), path)
    outcome = bring(lake, "lerobot", root, **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"field_missing": 1})


@pytest.mark.parametrize("step", [0, 5, 12])
def test_damage_in_a_video_of_many_costs_the_episode_that_shows_it(lake, tmp_path, step):
    root = files.lerobot(tmp_path / "set", "v3.0")
    files.overwrite(root / "videos/observation.images.top/chunk-000/file-000.mp4", files.STEPS + step)
    outcome = bring(lake, "lerobot", root, **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"video_undecodable": 1})
    assert "file-000.mp4, after" in refusals(lake)["video_undecodable"]
    assert [apart(one, one.seed) < 6 for one in episodes(lake)] == [True, True]
    assert [one.seed for one in episodes(lake)] == [0, 2]


def test_pictures_in_the_table_are_taken_and_a_table_without_them_is_quarantined(lake, tmp_path):
    import pyarrow as pa

    root = files.lerobot(tmp_path / "set", "v2.1")
    info = json.loads((root / "meta/info.json").read_text())
    info["features"]["observation.images.top"]["dtype"] = "image"
    (root / "meta/info.json").write_text(json.dumps(info))
    for number in (0, 2):
        path = root / f"data/chunk-000/episode_{number:06d}.parquet"
        cells = [{"bytes": encode_image(one), "path": None} for one in files.pictures(files.STEPS, number)]
        pq.write_table(pq.read_table(path).append_column("observation.images.top", pa.array(cells)), path)
    outcome = bring(lake, "lerobot", root, **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"field_missing": 1})
    assert [apart(one, one.seed) < 4 for one in episodes(lake)] == [True, True]


@pytest.mark.parametrize("line", [b'{"episode_index": "\xff"}', b"[1]", b'{"episode_index"'])
def test_a_line_of_metadata_that_cannot_be_read_costs_its_episode_alone(lake, tmp_path, line):
    root = files.lerobot(tmp_path / "set", "v2.1")
    path = root / "meta/episodes.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + line + b"\n" + lines[2])
    outcome = bring(lake, "lerobot", root, **GIVEN)
    assert outcome.imported == 2 and [episode.seed for episode in episodes(lake)] == [0, 2]
    assert "file_unreadable" in outcome.refusals
    reasons = lake.frame("quarantine")["reason"].to_list()
    assert any("meta/episodes.jsonl, line 2, does not describe an episode" in one for one in reasons)


def test_a_camera_that_the_mapping_leaves_out_need_not_be_there(lake, tmp_path):
    root = files.lerobot(tmp_path / "set", "v2.1")
    info = json.loads((root / "meta/info.json").read_text())
    info["features"]["observation.images.wrist"] = info["features"]["observation.images.top"]
    (root / "meta/info.json").write_text(json.dumps(info))
    assert bring(lake, "lerobot", root, **GIVEN).imported == 3
    outcome = bring(lake, "lerobot", root, **GIVEN, image="observation.images.wrist")
    assert (outcome.imported, dict(outcome.refusals)) == (0, {"file_unreadable": 3})


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_what_was_seldom_drawn_comes_back_seldom_drawn(lake, tmp_path, version):
    original = seldom_drawn(synthetic_episode(0, length=16, size=64), 4)
    writer = make_writer("lerobot", tmp_path / "set", Video(version=version))
    writer.add(original, {"task": original.task, "settings": json.dumps(original.settings)})
    writer.finish()
    assert bring(lake, "lerobot", tmp_path / "set").imported == 1
    [episode] = episodes(lake)
    assert [bool(one) for one in episode.images] == [bool(one) for one in original.images]


def test_a_file_of_metadata_that_cannot_be_read_costs_its_episodes_alone(lake, tmp_path):
    root = files.lerobot(tmp_path / "set", "v3.0")
    first = root / "meta/episodes/chunk-000/file-000.parquet"
    rows = pq.read_table(first)
    pq.write_table(rows.slice(0, 2), first)
    (first.parent / "file-001.parquet").write_bytes(b"PAR1" + bytes(99))
    outcome = bring(lake, "lerobot", root, **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"file_unreadable": 1, "field_missing": 1})
    first.write_bytes(b"PAR1" + bytes(99))
    with pytest.raises(UserError, match=r"meta/episodes/chunk-000/file-000.parquet cannot be read"):
        bring(lake, "lerobot", root, **GIVEN)


def test_a_damaged_row_group_costs_its_episodes_alone(lake, tmp_path):
    root = files.lerobot(tmp_path / "set", "v3.0")
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    pq.write_table(table, path, row_group_size=files.STEPS)
    place = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data = path.read_bytes()
    path.write_bytes(data[:place] + b"\xff" * 64 + data[place + 64 :])
    outcome = bring(lake, "lerobot", root, **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"file_unreadable": 1})
    assert [episode.seed for episode in episodes(lake)] == [0, 2]


def test_episodes_that_the_metadata_lost_are_told(lake, tmp_path):
    root = files.lerobot(tmp_path / "set", "v2.1")
    path = root / "meta/episodes.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    outcome = bring(lake, "lerobot", root, **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"field_missing": 1})
    assert "counts 3 episodes, the metadata describe 2" in refusals(lake)["field_missing"]


def test_an_episode_whose_metadata_do_not_say_when_is_quarantined(lake, tmp_path):
    import pyarrow as pa

    root = files.lerobot(tmp_path / "set", "v3.0")
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[1]["videos/observation.images.top/from_timestamp"] = None
    pq.write_table(pa.Table.from_pylist(rows), path)
    outcome = bring(lake, "lerobot", root, **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"field_missing": 1})


def test_a_dataset_does_not_lead_out_of_its_folder(lake, tmp_path):
    root = files.lerobot(tmp_path / "set", "v2.1")
    elsewhere = files.lerobot(tmp_path / "secret", "v2.1")
    info = json.loads((root / "meta/info.json").read_text())
    info["data_path"] = "../secret/" + info["data_path"]
    (root / "meta/info.json").write_text(json.dumps(info))
    outcome = bring(lake, "lerobot", root, **GIVEN)
    assert elsewhere.exists() and dict(outcome.refusals) == {"file_unreadable": 3}


def test_what_is_no_dataset_is_said(lake, tmp_path):
    with pytest.raises(UserError, match=r"no LeRobot dataset: it has no meta/info.json"):
        bring(lake, "lerobot", tmp_path, **GIVEN)
    with pytest.raises(UserError, match="no folder, nor a dataset's id"):
        bring(lake, "lerobot", str(tmp_path / "nowhere"), **GIVEN)
    with pytest.raises(UserError, match="which value of its last action opens the gripper"):
        bring(lake, "lerobot", files.lerobot(tmp_path / "set"))


class Hub(http.server.SimpleHTTPRequestHandler):
    """What the hub answers to whoever fetches a file of a dataset."""

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def _answer(self, whole: bool) -> None:
        name = self.path.split("/resolve/")[-1].partition("/")[2]
        path = Path(self.directory) / name
        if not self.path.startswith("/datasets/somebody/robot/") or not path.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{abs(hash(name)):x}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if whole:
            self.wfile.write(data)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[None]:
    root = files.lerobot(tmp_path / "remote", "v3.0", episodes=2)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    import huggingface_hub.constants
    import huggingface_hub.file_download as download

    for module in (huggingface_hub.constants, download.constants):
        monkeypatch.setattr(module, "ENDPOINT", address)
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(module, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield
    server.shutdown()


def test_a_dataset_on_the_hub_is_fetched_and_named_by_its_commit(lake, hub):
    assert bring(lake, "lerobot", "somebody/robot", **GIVEN).imported == 2
    assert set(lake.frame("imports")["path"]) == {f"hub:somebody/robot@{COMMIT}"}
    with pytest.raises(UserError, match="nobody/robot"):
        bring(lake, "lerobot", "nobody/robot", **GIVEN)
