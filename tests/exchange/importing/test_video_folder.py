"""A folder of videos and a table: one's own robot."""

import csv
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.exchange.importing import files
from tests.exchange.importing.bringing import bring, episodes, refusals, shown
from worldvla.errors import UserError
from worldvla.exchange.importing import video_folder
from worldvla.exchange.importing.runs import ROWS, runs
from worldvla.lake.store import Lake

GIVEN = {"gripper": "1:-1"}


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def folder(tmp_path) -> Path:
    return files.video_folder(tmp_path / "takes")


def table(folder: Path) -> list[dict]:
    with (folder / "actions.csv").open() as file:
        return list(csv.DictReader(file))


def write(folder: Path, rows: list[dict]) -> None:
    with (folder / "actions.csv").open("w") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_every_video_is_an_episode(lake, folder, kind):
    if kind == "parquet":
        pq.write_table(pyarrow.csv.read_csv(folder / "actions.csv"), folder / "actions.parquet")
        (folder / "actions.csv").unlink()
    assert bring(lake, "videos", folder, **GIVEN).imported == 3
    for number, episode in enumerate(episodes(lake)):
        assert np.array_equal(episode.actions, files.actions(files.STEPS, number)[:-1])
        assert episode.success == (number != 1) and episode.task == "put_the_cup_on_the_plate"
        assert episode.settings["fps"] == 20 and np.allclose(episode.timestamps, np.arange(17) / 20)
        large = np.repeat(np.repeat(files.pictures(files.STEPS, number), 4, 1), 4, 2)
        assert np.abs(shown(episode).astype(int) - large).mean() < 6


def test_one_frame_more_than_rows_shows_what_the_last_action_led_to(lake, folder):
    rows = [row for row in table(folder) if float(row["timestamp"]) < 0.79]
    write(folder, rows)
    assert bring(lake, "videos", folder, **GIVEN, timestamp="-", success="all").imported == 3
    first = episodes(lake)[0]
    assert np.array_equal(first.actions, files.actions(files.STEPS)[:16]) and first.reward[-1] == 1


def test_a_frame_of_which_the_table_says_nothing_is_left_out(lake, folder):
    """One frame more than rows, and rows that tell times: nobody knows that of the last frame."""
    write(folder, [row for row in table(folder) if float(row["timestamp"]) < 0.79])
    assert bring(lake, "videos", folder, **GIVEN, success="all", chunk=5).imported == 3
    first = episodes(lake)[0]
    assert np.array_equal(first.actions, files.actions(files.STEPS)[:15]) and first.reward[-1] == 1
    assert np.allclose(first.timestamps, np.arange(16) / 20)


@pytest.mark.parametrize("blank", [files.STEPS - 1, files.STEPS, 5])
def test_rows_without_a_video_are_nobodys_and_cost_the_takes_beside_them(lake, folder, blank):
    rows = table(folder)
    rows[blank]["video"] = ""
    write(folder, rows)
    outcome = bring(lake, "videos", folder, **GIVEN, timestamp="-", success="all")
    beside = {0, 1} if blank != 5 else {0}
    assert {episode.seed for episode in episodes(lake)}.isdisjoint(beside) and outcome.imported == 3 - len(beside)
    reasons = [row["reason"] for row in lake.frame("quarantine").to_dicts()]
    assert any("1 rows after those of" in one and "have no video: fill them in" in one for one in reasons)
    assert any("rows beside those of take_0.mp4 have no video and may be of it" in one for one in reasons)
    rows[blank]["video"] = f"take_{blank // files.STEPS}.mp4"
    write(folder, rows)
    assert bring(lake, "videos", folder, **GIVEN, timestamp="-", success="all").imported == len(beside)


def test_rows_without_a_video_end_with_the_rows_that_were_read_at_once(lake, folder):
    """A take's first row must not go to what stands before it."""
    rows = table(folder)
    short = [row | {"video": ""} for row in (rows * 6)[: ROWS - 1]]
    pq.write_table(
        pyarrow.Table.from_pylist([row | {"video": row["video"] or None} for row in [*short, *rows]]),
        folder / "actions.parquet",
    )
    (folder / "actions.csv").unlink()
    counts = [
        (name, len(some)) for name, some in runs(pq.ParquetFile(folder / "actions.parquet").iter_batches(ROWS), "video")
    ]
    assert counts == [(None, ROWS - 1), *((f"take_{number}.mp4", files.STEPS) for number in range(3))]


def test_a_success_of_the_state_shown_stays_with_it_where_there_is_one_frame_more(lake, folder):
    rows = [row | {"success": str(int(float(row["timestamp"]) > 0.69))} for row in table(folder)]
    write(folder, [row for row in rows if float(row["timestamp"]) < 0.79])
    assert bring(lake, "videos", folder, **GIVEN, timestamp="-", success="success@state").imported == 3
    assert episodes(lake)[0].reward.tolist() == [0] * 14 + [1] * 3


def test_a_success_that_is_no_number_is_no_failure(lake, folder):
    write(folder, [row | {"success": "nan"} for row in table(folder)])
    assert dict(bring(lake, "videos", folder, **GIVEN, success="success>=0.5").refusals) == {"success_unclear": 3}
    assert "success holds nan, which is no outcome" in refusals(lake)["success_unclear"]


def test_the_rate_is_that_of_the_takes_and_not_of_what_else_lies_there(lake, folder):
    files.video(folder / "a_calibration.mp4", files.pictures(4), fps=60)
    assert bring(lake, "videos", folder, **GIVEN).imported == 3
    assert {episode.settings["fps"] for episode in episodes(lake)} == {20}


def test_a_take_of_another_rate_is_quarantined(lake, folder):
    files.video(folder / "take_1.mp4", files.pictures(files.STEPS, 1), fps=60)
    outcome = bring(lake, "videos", folder, **GIVEN)
    assert outcome.imported == 2 and list(outcome.refusals)[0] == "layout_differs"
    assert "take_1.mp4 has 60 frames a second, the first take 20" in refusals(lake)["layout_differs"]


def test_two_columns_of_one_name_are_named(lake, folder):
    lines = (folder / "actions.csv").read_text().splitlines()
    (folder / "actions.csv").write_text("\n".join([lines[0] + ",note,note", *(one + ",a,b" for one in lines[1:])]))
    with pytest.raises(UserError, match="actions.csv has several columns 'note': give each a name of its own"):
        bring(lake, "videos", folder, **GIVEN)


def changed(rows: list[dict], **changes: str) -> list[dict]:
    return [row | changes if row["video"] == "take_1.mp4" and row["timestamp"] == "0.1" else row for row in rows]


def scattered(rows: list[dict]) -> list[dict]:
    """The first rows of the last video again at the end, after the second one's."""
    return [*rows, *(row for row in rows if row["video"] == "take_1.mp4")]


DAMAGE = {
    "video_undecodable": lambda folder: (folder / "take_1.mp4").write_bytes(b"\0" * 4000),
    "frame_count": lambda folder: files.video(folder / "take_1.mp4", files.pictures(12, 1)),
    "file_unreadable": lambda folder: (folder / "take_1.mp4").unlink(),
    "action_not_finite": lambda folder: write(folder, changed(table(folder), action_3="nan")),
    "action_out_of_range": lambda folder: write(folder, changed(table(folder), action_3="40")),
    "timestamp_backward": lambda folder: write(folder, changed(table(folder), timestamp="0.01")),
}


@pytest.mark.parametrize("packet", [0, 9, files.STEPS - 1])
def test_pictures_that_a_decoder_would_invent_are_not_imported(lake, folder, packet):
    files.overwrite(folder / "take_1.mp4", packet)
    outcome = bring(lake, "videos", folder, **GIVEN)
    # A decoder drops the last picture, if that is the one, and the count tells.
    assert outcome.imported == 2 and list(outcome.refusals) in (["video_undecodable"], ["frame_count"])


def test_a_video_stands_as_a_player_shows_it(lake, folder):
    files.turned(folder / "take_0.mp4")
    assert bring(lake, "videos", folder, **GIVEN).imported == 3
    clockwise = np.rot90(files.pictures(files.STEPS), -1, (1, 2))
    large = np.repeat(np.repeat(clockwise, 4, 1), 4, 2)
    assert np.abs(shown(episodes(lake)[0]).astype(int) - large).mean() < 6


@pytest.mark.parametrize("rule", DAMAGE)
def test_a_damaged_video_or_row_is_quarantined_and_the_others_come_in(lake, folder, rule):
    DAMAGE[rule](folder)
    outcome = bring(lake, "videos", folder, **GIVEN)
    assert outcome.imported == 2 and list(outcome.refusals)[0] == rule
    assert [episode.seed for episode in episodes(lake)] == [0, 2]
    assert list(refusals(lake)) == [rule]


def test_rows_of_one_video_in_two_places_are_not_joined_silently(lake, folder):
    write(folder, scattered(table(folder)))
    outcome = bring(lake, "videos", folder, **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (3, {"shape_mismatch": 1})
    assert "sort the table by video" in refusals(lake)["shape_mismatch"]


def test_a_table_does_not_lead_out_of_its_folder(lake, folder, tmp_path):
    files.video(tmp_path / "secret.mp4", files.pictures(files.STEPS))
    write(folder, [row | {"video": row["video"].replace("take_1", "../secret")} for row in table(folder)])
    outcome = bring(lake, "videos", folder, **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"file_unreadable": 1, "field_missing": 1})


def test_a_take_that_was_added_comes_in_and_the_others_not_again(lake, folder):
    """Wherever its rows stand; and the take whose row was mended does."""
    assert bring(lake, "videos", folder, **GIVEN).imported == 3
    rows = table(folder)
    files.video(folder / "take_0b.mp4", files.pictures(files.STEPS, 5))
    added = [row | {"video": "take_0b.mp4"} for row in rows if row["video"] == "take_2.mp4"]
    write(folder, [*rows[: files.STEPS], *added, *rows[files.STEPS :]])
    outcome = bring(lake, "videos", folder, **GIVEN)
    assert (outcome.imported, outcome.skipped) == (1, 3)
    found = [episode.settings["import"]["file"] for episode in episodes(lake)]
    assert sorted(found) == ["take_0.mp4", "take_0b.mp4", "take_1.mp4", "take_2.mp4"]
    write(folder, changed(table(folder), action_3="0.5"))
    assert (bring(lake, "videos", folder, **GIVEN).imported, len(lake.frame("imports"))) == (1, 5)


def test_a_cameras_capitals_are_no_other_format(lake, folder):
    for path in [*folder.glob("*.mp4")]:
        path.rename(path.with_suffix(".MP4"))
    table = folder / "actions.csv"
    table.write_text(table.read_text().replace(".mp4", ".MP4"))
    assert bring(lake, "videos", folder, gripper="1:-1").imported == 3


def test_a_video_without_rows_is_told(lake, folder):
    write(folder, [row for row in table(folder) if row["video"] != "take_1.mp4"])
    outcome = bring(lake, "videos", folder, **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"field_missing": 1})
    assert "no rows of 1 videos, which are left out: take_1.mp4" in refusals(lake)["field_missing"]


@pytest.mark.parametrize("block", [video_folder.BLOCK, 2000])
def test_a_cell_that_is_no_number_costs_its_take_alone(lake, folder, monkeypatch, block):
    """Also behind the first block, whose columns are numbers."""
    monkeypatch.setattr(video_folder, "BLOCK", block)
    write(folder, changed(table(folder), action_3="o.5"))
    outcome = bring(lake, "videos", folder, **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"shape_mismatch": 1})
    assert "action_3 is text ('o.5' in row 2), not numbers" in refusals(lake)["shape_mismatch"]


@pytest.mark.parametrize("row", [0, 5, files.STEPS - 1])
@pytest.mark.parametrize(
    "change", [lambda line: line + ",1", lambda line: line.rpartition(",")[0]], ids=["more", "less"]
)
def test_a_row_with_other_cells_costs_its_take_alone(lake, folder, monkeypatch, row, change):
    """Left out, it would shift what every frame behind it shows by one action."""
    monkeypatch.setattr(video_folder, "BLOCK", 2000)
    lines = (folder / "actions.csv").read_text().splitlines()
    at = 1 + files.STEPS + row
    lines[at] = change(lines[at])
    (folder / "actions.csv").write_text("\n".join(lines) + "\n")
    outcome = bring(lake, "videos", folder, **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"shape_mismatch": 1})
    assert "cells, not 11: 'take_1.mp4," in refusals(lake)["shape_mismatch"]


@pytest.mark.parametrize("cut", [1, 30, 700])
def test_a_truncated_table_gives_the_takes_before_its_end(lake, folder, cut):
    whole = (folder / "actions.csv").read_bytes()
    (folder / "actions.csv").write_bytes(whole[:-cut] if cut > 1 else whole[: whole.rindex(b",")])
    outcome = bring(lake, "videos", folder, **GIVEN)
    assert outcome.imported == 2 and outcome.quarantined >= 1
    assert [episode.settings["import"]["file"] for episode in episodes(lake)] == ["take_0.mp4", "take_1.mp4"]


def test_success_may_be_said_in_words(lake, folder):
    rows = [row | {"success": " True" if row["success"] == "1" else "false"} for row in table(folder)]
    write(folder, rows)
    assert bring(lake, "videos", folder, **GIVEN).imported == 3
    assert [episode.success for episode in episodes(lake)] == [True, False, True]


def test_what_is_no_dataset_is_said(lake, folder, tmp_path):
    with pytest.raises(UserError, match="has no table"):
        bring(lake, "videos", tmp_path, **GIVEN)
    write(folder, [{"film": row["video"]} for row in table(folder)])
    with pytest.raises(UserError, match="no column 'video'"):
        bring(lake, "videos", folder, **GIVEN)
