import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.exchange.exporting.exported import CAMERA, export_sans, filmed, originals, pictures_of, rows_of, video_frames
from tests.factories import synthetic_episode
from worldvla.episodes.episode import Episode, Source
from worldvla.errors import UserError
from worldvla.exchange import lerobot_layout as layout
from worldvla.exchange.exporting import lerobot_metadata
from worldvla.exchange.exporting.run import Video, make_writer
from worldvla.lake.store import Lake

# The mean difference of a value of a picture, of 255, that the codecs leave at the default quality.
TOLERANCE = 4.0


def write(folder: Path, episodes: list[Episode], **video) -> Path:
    writer = make_writer("lerobot", folder, Video(**video))
    for episode in episodes:
        writer.add(episode, {"episode_id": episode.episode_id})
    writer.finish()
    writer.close()
    return folder


@pytest.mark.parametrize("version", layout.VERSIONS)
def test_no_number_is_lost(lake: Lake, tmp_path: Path, version: str) -> None:
    export_sans(lake, "lerobot", tmp_path / "set", version=version)
    rows, begin = rows_of(tmp_path / "set"), 0
    for number, episode in enumerate(originals(lake)):
        part = slice(begin, begin + episode.length + 1)
        assert rows["worldvla.drawn"][part].all()
        acted = rows["worldvla.acted"][part]
        assert acted.tolist() == [True] * episode.length + [False]
        np.testing.assert_array_equal(rows["action"][part][acted].astype(np.float32), episode.actions)
        np.testing.assert_array_equal(rows["observation.state"][part].astype(np.float32), episode.proprio)
        np.testing.assert_array_equal(rows["worldvla.reward"][part].astype(np.float32), episode.reward)
        np.testing.assert_array_equal(rows["worldvla.progress"][part].astype(np.float32), episode.progress)
        np.testing.assert_array_equal(rows["next.reward"][part][:-1].astype(np.float32), episode.reward[1:])
        assert set(rows["episode_index"][part]) == {number}
        assert rows["frame_index"][part].tolist() == list(range(episode.length + 1))
        np.testing.assert_allclose(rows["timestamp"][part], np.arange(episode.length + 1) / 20, atol=1e-6)
        begin = part.stop
    assert begin == len(rows["index"])


def test_the_last_state_holds_still(tmp_path: Path) -> None:
    episode = synthetic_episode(3)
    rows = rows_of(write(tmp_path, [episode]))
    np.testing.assert_array_equal(rows["action"][-1], [0] * 6 + [episode.actions[-1, -1]])
    assert rows["next.done"].tolist() == [False] * 7 + [True, True]


@pytest.mark.parametrize("codec", ["h264", "av1"])
def test_each_episode_is_where_the_metadata_says_in_the_video(tmp_path: Path, codec: str) -> None:
    episodes = [filmed(seed, length=4 + seed) for seed in range(3)]
    write(tmp_path, episodes, codec=codec)
    pictures, seconds, keys = video_frames(tmp_path / f"videos/{CAMERA}/chunk-000/file-000.mp4")
    rows = pq.read_table(tmp_path / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert len(pictures) == sum(one.length + 1 for one in episodes)
    for row, episode in zip(rows, episodes, strict=True):
        first = seconds.index(pytest.approx(row[f"videos/{CAMERA}/from_timestamp"]))
        assert keys[first]
        count = row["length"]
        assert row[f"videos/{CAMERA}/to_timestamp"] - row[f"videos/{CAMERA}/from_timestamp"] == pytest.approx(
            count / 20
        )
        difference = pictures[first : first + count].astype(float) - pictures_of(episode)
        assert np.abs(difference).mean() < TOLERANCE


def test_metadata_is_written_as_episodes_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = [synthetic_episode(seed) for seed in range(5)]
    whole = pq.read_table(write(tmp_path / "whole", some) / "meta/episodes")
    monkeypatch.setattr(lerobot_metadata, "GROUP", 2)
    parts = write(tmp_path / "parts", some) / "meta/episodes/chunk-000/file-000.parquet"
    assert pq.ParquetFile(parts).num_row_groups == 3
    assert pq.read_table(parts).equals(whole)


def test_full_files_are_followed_by_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "DATA_FILE_MB", 0)
    monkeypatch.setattr(layout, "VIDEO_FILE_MB", 0)
    monkeypatch.setattr(layout, "CHUNK_FILES", 2)
    write(tmp_path, [synthetic_episode(seed) for seed in range(3)])
    assert sorted(str(path.relative_to(tmp_path / "data")) for path in (tmp_path / "data").rglob("*.parquet")) == [
        "chunk-000/file-000.parquet",
        "chunk-000/file-001.parquet",
        "chunk-001/file-000.parquet",
    ]
    last = pq.read_table(tmp_path / "meta/episodes/chunk-000/file-000.parquet").to_pylist()[-1]
    assert (last["data/chunk_index"], last["data/file_index"]) == (1, 0)
    assert last[f"videos/{CAMERA}/chunk_index"] == 1
    assert last[f"videos/{CAMERA}/from_timestamp"] == 0
    assert (tmp_path / f"videos/{CAMERA}/chunk-001/file-000.mp4").exists()


def test_statistics_are_those_of_all_frames(lake: Lake, tmp_path: Path) -> None:
    export_sans(lake, "lerobot", tmp_path / "set")
    stats = json.loads((tmp_path / "set/meta/stats.json").read_text())
    rows = rows_of(tmp_path / "set")
    for name in ("action", "observation.state", "worldvla.progress"):
        values = rows[name].reshape(len(rows[name]), -1)
        assert stats[name]["count"] == [len(values)]
        for kind in ("min", "max", "mean", "std"):
            np.testing.assert_allclose(stats[name][kind], getattr(values, kind)(0), rtol=1e-6, atol=1e-9)
    assert np.shape(stats[CAMERA]["mean"]) == (3, 1, 1)
    assert 0 < stats[CAMERA]["mean"][0][0][0] < 1


def test_provenance_stands_with_the_episodes(lake: Lake, tmp_path: Path) -> None:
    episodes = originals(lake)
    export_sans(lake, "lerobot", tmp_path / "v30")
    export_sans(lake, "lerobot", tmp_path / "v21", version="v2.1")
    v30 = pq.read_table(tmp_path / "v30/meta/episodes/chunk-000/file-000.parquet").to_pylist()
    v21 = [json.loads(line) for line in (tmp_path / "v21/meta/episodes.jsonl").read_text().splitlines()]
    for rows in (v30, v21):
        assert [row["worldvla/episode_id"] for row in rows] == [one.episode_id for one in episodes]
        assert [row["worldvla/content_digest"] for row in rows] == [one.content_digest for one in episodes]
        assert [row["worldvla/seed"] for row in rows] == [one.seed for one in episodes]
        assert {row["worldvla/sans"] for row in rows} == {"demo/0001"}
    about = json.loads((tmp_path / "v30/worldvla.json").read_text())
    assert about["selection"] == {"sans": "demo/0001", "split": "any"}


@pytest.mark.parametrize(
    ("of_episodes", "declared"),
    [
        (["train", "train", "heldout"], {"train": "0:2", "heldout": "2:3"}),
        (["train", "heldout", "train"], {"train": "0:3"}),
        (["train", None, None], {"train": "0:3"}),
    ],
)
def test_splits_are_declared_where_each_is_in_one_piece(tmp_path: Path, of_episodes: list, declared: dict) -> None:
    writer = make_writer("lerobot", tmp_path, Video())
    for seed, split in enumerate(of_episodes):
        writer.add(synthetic_episode(seed), {"split": split})
    writer.finish()
    assert json.loads((tmp_path / "meta/info.json").read_text())["splits"] == declared


def test_a_recorders_clock_is_kept(tmp_path: Path) -> None:
    clock = 1_700_000_000 + np.arange(9) / 30 + 1e-4
    episode = replace(synthetic_episode(1), timestamps=clock, settings={"fps": 30})
    rows = rows_of(write(tmp_path, [episode]))
    np.testing.assert_array_equal(rows["worldvla.timestamp"], clock)
    assert layout.read_info(tmp_path).fps == 30


@pytest.mark.parametrize(
    ("other", "video", "message"),
    [
        (
            replace(synthetic_episode(2), proprio=np.zeros((9, 7), np.float32)),
            {},
            r"has observation.state \[7\], others \[5\]",
        ),
        (synthetic_episode(2, images=False), {}, "has observation.images.front not at all"),
        (replace(synthetic_episode(2), settings={"fps": 5}), {}, "was recorded at 5 frames/s, others at 20"),
        (replace(synthetic_episode(2), source=Source.IMPORT), {}, "came without its rate.*say --fps"),
        (synthetic_episode(2, size=18), {}, r"has observation.images.front \[18, 18, 3\], others \[16, 16, 3\]"),
    ],
)
def test_episodes_that_do_not_fit_one_dataset_are_named(
    tmp_path: Path, other: Episode, video: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        write(tmp_path, [synthetic_episode(1), other], **video)
    assert other.episode_id in str(error.value)


def test_one_rate_can_be_declared_for_all(tmp_path: Path) -> None:
    write(tmp_path, [synthetic_episode(1), replace(synthetic_episode(2), settings={"fps": 5})], fps=10)
    assert layout.read_info(tmp_path).fps == 10


@pytest.mark.parametrize(
    ("size", "video", "message"),
    [
        (17, {"codec": "h264"}, "17 x 17 pixels cannot become h264 video"),
        (16, {"codec": "av1"}, "16 x 16 pixels cannot become av1 video"),
        (16, {"codec": "vp8"}, "there is no such codec"),
        (64, {"codec": "av1", "crf": 0}, "--crf 0: of av1 it is 1 to 63"),
        (64, {"codec": "h264", "crf": 52}, "--crf 52: of h264 it is 0 to 51"),
        (64, {"codec": "av1", "fps": 250}, "250 frames/s cannot become av1 video.* at most 240"),
        (64, {"codec": "h264", "fps": 1e-4}, "0.0001 frames/s cannot become h264 video"),
    ],
)
def test_what_a_codec_cannot_hold_is_refused(tmp_path: Path, size: int, video: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        write(tmp_path, [synthetic_episode(1, size=size)], **video)


@pytest.mark.parametrize("fps", [29.9998, 30000 / 1001, 14.98731])
def test_every_picture_is_shown_when_the_metadata_say_whatever_the_rate(tmp_path: Path, fps: float) -> None:
    """lerobot takes the picture within 0.1 ms of its time, and refuses where there is none."""
    write(tmp_path, [filmed(seed, length=60) for seed in range(8)], fps=fps)
    [path] = (tmp_path / "videos").rglob("*.mp4")
    with av.open(str(path)) as container:
        shown = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    np.testing.assert_allclose(shown, np.arange(8 * 61) / fps, atol=1e-6)


def test_numbers_that_are_none_do_not_move_the_statistics(tmp_path: Path) -> None:
    known, broken, lost = (synthetic_episode(seed) for seed in range(3))
    broken.proprio[2:] = np.nan
    lost.proprio[:] = np.nan
    write(tmp_path, [known, broken, lost])
    told = json.loads((tmp_path / layout.STATS).read_text())[layout.STATE]
    rows = np.concatenate([known.proprio, broken.proprio[:2]]).astype(np.float64)
    assert told["count"] == [len(rows)]
    np.testing.assert_allclose(told["mean"], rows.mean(0), atol=1e-9)
    np.testing.assert_allclose(told["min"], rows.min(0))


def test_episodes_without_pictures_make_a_dataset_without_video(tmp_path: Path) -> None:
    write(tmp_path, [synthetic_episode(1, images=False)])
    info = layout.read_info(tmp_path)
    assert info.video_path is None
    assert info.video_keys == []
    assert len(rows_of(tmp_path)["index"]) == 9


@pytest.mark.parametrize("width", [0, 1])
def test_robots_with_little_or_no_proprioception(tmp_path: Path, width: int) -> None:
    """A column of one number is that number in LeRobot, and there is no column of none."""
    episode = synthetic_episode(1)
    write(tmp_path, [replace(episode, proprio=episode.proprio[:, :width])])
    rows, features = rows_of(tmp_path), layout.read_info(tmp_path).features
    if width:
        assert features["observation.state"]["shape"] == [1]
        np.testing.assert_array_equal(rows["observation.state"].astype(np.float32), episode.proprio[:, 0])
    else:
        assert "observation.state" not in rows and "observation.state" not in features


def test_a_damaged_description_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no LeRobot dataset"):
        layout.read_info(tmp_path)
    write(tmp_path, [synthetic_episode(1)])
    content = json.loads((tmp_path / layout.INFO).read_text())
    for broken, message in (
        ("{", "cannot be read"),
        ("[]", "is not a JSON object"),
        (json.dumps(content | {"codebase_version": "v1.6"}), "codebase_version is 'v1.6'; known are v2.1, v3.0"),
        (json.dumps({k: v for k, v in content.items() if k != "fps"}), "has no field 'fps'"),
        (json.dumps(content | {"features": 3}), "a value of the wrong kind"),
    ):
        (tmp_path / layout.INFO).write_text(broken)
        with pytest.raises(UserError, match=message):
            layout.read_info(tmp_path)
