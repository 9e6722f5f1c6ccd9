"""RLDS: TFRecord files read without TensorFlow, and what is damaged in them."""

import json
import struct

import numpy as np
import pytest

from tests.exchange.importing import files
from tests.exchange.importing.bringing import bring, episodes, refusals, shown
from worldvla.errors import UserError
from worldvla.exchange.importing import tfrecord
from worldvla.lake.store import Lake

GIVEN = {"gripper": "1:0", "success": "steps/reward"}
SHARD = "robot-train.tfrecord-00000-of-00001"


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake")


def test_the_checksum_is_that_of_the_format():
    # RFC 3720, B.4: CRC-32C of 32 zero bytes is 8a9136aa; masked as TFRecord does.
    crc = 0x8A9136AA
    assert tfrecord.masked_crc(bytes(32)) == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_every_episode_comes_in(lake, tmp_path):
    outcome = bring(lake, "rlds", files.rlds(tmp_path / "robot/1.0.0").parent, **GIVEN)
    assert (outcome.records, outcome.imported) == (3, 3)
    for number, episode in enumerate(episodes(lake)):
        assert np.array_equal(episode.actions, files.actions(files.STEPS, number)[:-1])
        assert np.array_equal(episode.proprio, files.proprio(files.STEPS, 7, number))
        assert episode.reward.tolist() == [0.0] * 16 + [1.0] and episode.instruction == files.INSTRUCTION
        large = np.repeat(np.repeat(files.pictures(files.STEPS, number), 4, 1), 4, 2)
        assert np.abs(shown(episode).astype(int) - large).mean() < 4


def test_actions_in_several_fields_are_joined(lake, tmp_path):
    root = files.rlds(tmp_path / "robot")
    given = GIVEN | {"actions": "steps/action[0:3]+0+0+0+steps/action[6]", "scale": "0.9"}
    bring(lake, "rlds", root, **given)
    first = episodes(lake)[0]
    expected = files.actions(files.STEPS)[:-1]
    assert np.allclose(first.actions[:, :3], expected[:, :3] / 0.9) and not first.actions[:, 3:6].any()
    assert np.array_equal(first.actions[:, 6], expected[:, 6])


def spoiled(number: int, **changes: list) -> bytes:
    """The example of an episode, with other values of some features."""
    features = tfrecord.features(files.example(number)) | {
        name.replace("__", "/"): one for name, one in changes.items()
    }
    return files.framed(files.message({name: values for name, values in features.items() if values}))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


# A PNG whose header says that it is one byte long.
HEADLESS = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 1) + b"IHDR" + bytes(21)
OF = {"texts for numbers": "shape_mismatch", "a PNG without its size": "frames_missing"}
SECOND = {
    "file_unreadable": flipped(files.framed(files.example(1)), 100),
    "field_missing": spoiled(1, steps__action=[]),
    "shape_mismatch": spoiled(1, steps__action=[0.5] * 50),
    "texts for numbers": spoiled(1, steps__action=[b"half"] * 7 * files.STEPS),
    "frame_count": spoiled(1, steps__action=[0.5] * 7 * 12, steps__reward=[1.0] * 12),
    "action_not_finite": spoiled(1, steps__action=[float("nan")] * 7 * files.STEPS),
    "frames_missing": spoiled(1, steps__observation__image=[b"no picture"] * files.STEPS),
    "a PNG without its size": spoiled(1, steps__observation__image=[HEADLESS] * files.STEPS),
    "instruction_unknown": spoiled(1, steps__language_instruction=[b" "] * files.STEPS),
}


@pytest.mark.parametrize("name", SECOND)
def test_a_damaged_record_is_quarantined_and_the_others_come_in(lake, tmp_path, name):
    root, rule = files.rlds(tmp_path / "robot"), OF.get(name, name)
    records = [files.framed(files.example(0)), SECOND[name], files.framed(files.example(2))]
    (root / SHARD).write_bytes(b"".join(records))
    outcome = bring(lake, "rlds", root, task="cup", **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (2, {rule: 1})
    assert [episode.seed for episode in episodes(lake)] == [0, 2]
    assert list(refusals(lake)) == [rule]


@pytest.mark.parametrize("cut", [1, 9, 12, 2000])
def test_a_truncated_file_gives_the_records_before_its_end(lake, tmp_path, cut):
    root = files.rlds(tmp_path / "robot")
    whole = (root / SHARD).read_bytes()
    last = len(files.framed(files.example(2)))
    (root / SHARD).write_bytes(whole[: len(whole) - last + cut])
    outcome = bring(lake, "rlds", root, **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"file_unreadable": 1})
    assert "cut off" in refusals(lake)["file_unreadable"]


def test_a_file_that_ends_between_two_records_is_noticed_where_their_number_is_known(lake, tmp_path):
    root = files.rlds(tmp_path / "robot")
    (root / SHARD).write_bytes(files.framed(files.example(0)) + files.framed(files.example(1)))
    splits = [{"name": "train", "shardLengths": ["3"]}]
    (root / "dataset_info.json").write_text(json.dumps({"splits": splits}))
    outcome = bring(lake, "rlds", root, **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"file_unreadable": 1})
    assert "has 2 records, dataset_info.json counts 3" in refusals(lake)["file_unreadable"]


def test_files_that_are_not_there_are_told(lake, tmp_path):
    root = files.rlds(tmp_path / "robot")
    (root / SHARD).rename(root / "robot-train.tfrecord-00001-of-00004")
    outcome = bring(lake, "rlds", root, **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (3, {"file_unreadable": 1})
    assert "of 4 files robot-train.tfrecord 3 are not there, number 0, 2, 3" in refusals(lake)["file_unreadable"]


def test_a_damaged_length_is_not_followed(lake, tmp_path):
    root = files.rlds(tmp_path / "robot")
    whole = (root / SHARD).read_bytes()
    (root / SHARD).write_bytes(struct.pack("<Q", 1 << 40) + whole[8:])
    outcome = bring(lake, "rlds", root, **GIVEN)
    assert (outcome.imported, dict(outcome.refusals)) == (0, {"file_unreadable": 1})


def test_what_is_no_dataset_is_said(lake, tmp_path):
    with pytest.raises(UserError, match="no features.json"):
        bring(lake, "rlds", tmp_path, **GIVEN)
    root = files.rlds(tmp_path / "robot")
    (root / "features.json").write_text(json.dumps({"featuresDict": []}))
    with pytest.raises(UserError, match="does not describe features"):
        bring(lake, "rlds", root, **GIVEN)
