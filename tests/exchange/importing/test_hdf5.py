"""LIBERO and robomimic HDF5: which row shows what, which way up, and what is damaged."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from tests.exchange.importing import files
from tests.exchange.importing.bringing import bring, episodes, refusals, shown
from tests.factories import seldom_drawn, synthetic_episode
from worldvla.episodes.episode import Source
from worldvla.errors import UserError
from worldvla.exchange.exporting.run import Video, make_writer
from worldvla.exchange.importing.hdf5 import opened, read
from worldvla.lake.store import Lake

ROBOMIMIC = {"task": "lift", "instruction": "lift the cube", "success": "rewards"}


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake")


def close(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal but for JPEG and resizing by whole factors."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean()) < 4


def test_rows_of_libero_show_what_their_action_led_to_and_are_turned_upright(lake, tmp_path):
    path = files.libero(tmp_path / "put_the_bowl_on_the_plate_demo.hdf5")
    outcome = bring(lake, "libero", path, suite="libero_goal")
    assert (outcome.records, outcome.imported, outcome.quarantined) == (3, 3, 0)
    for number, episode in enumerate(episodes(lake)):
        given = files.actions(files.STEPS, number)
        assert np.array_equal(episode.actions[:, :6], given[1:, :6])
        assert np.array_equal(episode.actions[:, 6], -given[1:, 6])
        # The first action is left out; the simulator's state that the second one found is the first that is shown.
        assert np.array_equal(episode.initial_state, files.proprio(files.STEPS, 9, number)[1])
        assert episode.reward.tolist() == [0.0] * 16 + [1.0] == episode.progress.tolist()
        large = np.repeat(np.repeat(files.pictures(files.STEPS, number), 4, 1), 4, 2)
        assert shown(episode).shape == (17, 128, 128, 3) and close(shown(episode), large)
        assert (episode.task, episode.instruction) == ("put_the_bowl_on_the_plate", "put the bowl on the plate")
        assert (episode.source, episode.actor, episode.seed) == (Source.IMPORT, "data", number)
        assert episode.settings["fps"] == 20 and episode.settings["import"]["record"] == f"demo_{number}"


def test_rows_of_robomimic_show_what_their_action_was_chosen_from(lake, tmp_path):
    path = files.robomimic(tmp_path / "low_dim.hdf5")
    assert bring(lake, "libero", path, **ROBOMIMIC).imported == 2
    first = episodes(lake)[0]
    assert np.array_equal(first.actions[:, :6], files.actions(files.STEPS)[:-1, :6])
    assert first.reward[-1] == 1 and first.reward.sum() == 1
    assert close(shown(first), np.repeat(np.repeat(files.pictures(files.STEPS), 4, 1), 4, 2))
    assert first.proprio.shape == (17, 16)


def test_robomimics_files_are_called_alike_and_say_their_task(lake, tmp_path):
    for env in ("Lift", "PickPlaceCan"):
        (tmp_path / env).mkdir()
        with h5py.File(files.robomimic(tmp_path / env / "image.hdf5", demos=1), "a") as file:
            file["data"].attrs["env_args"] = json.dumps({"env_name": env, "env_kwargs": {}})
    assert bring(lake, "libero", tmp_path, **ROBOMIMIC | {"task": None}).imported == 2
    assert [episode.task for episode in episodes(lake)] == ["Lift", "PickPlaceCan"]


def test_what_is_left_out_of_the_mapping_is_what_it_is_by_default(lake, tmp_path):
    path = files.robomimic(tmp_path / "low_dim.hdf5")
    assert bring(lake, "libero", path, **ROBOMIMIC | {"turn": "-", "scale": "-", "observed": "-"}).imported == 2


def test_pictures_of_which_nothing_says_which_way_up_they_are_are_asked_for(lake, tmp_path):
    """As LIBERO's files are when they were made anew without their attributes."""
    path = files.libero(tmp_path / "put_the_bowl_on_the_plate_demo.hdf5", demos=1)
    with h5py.File(path, "a") as file:
        del file["data"].attrs["macros_image_convention"]
    given = {"suite": "libero_goal", "success": "rewards"}
    with pytest.raises(UserError, match="--map turn=…: nothing says which way up"):
        bring(lake, "libero", path, **given)
    assert bring(lake, "libero", path, **given, turn="vertical").imported == 1
    assert close(shown(episodes(lake)[0]), np.repeat(np.repeat(files.pictures(files.STEPS), 4, 1), 4, 2))


def test_a_column_that_a_field_has_not_is_no_narrower_robot(lake, tmp_path):
    path = files.robomimic(tmp_path / "low_dim.hdf5")
    for text in ("actions[0:6]+actions[7]", "actions[2:8]", "actions[9:]"):
        outcome = bring(lake, "libero", path, **ROBOMIMIC | {"proprio": text})
        assert dict(outcome.refusals) == {"shape_mismatch": 2}, text
    assert "actions has 7 numbers a row, and actions[9:] asks for 10" in " ".join(lake.frame("quarantine")["reason"])


def test_an_explicit_mapping_overrides_what_the_format_says(lake, tmp_path):
    path = files.robomimic(tmp_path / "low_dim.hdf5")
    given = ROBOMIMIC | {"scale": "2", "gripper": "1:-1", "turn": "half", "observed": "after", "proprio": "-"}
    assert bring(lake, "libero", path, **given).imported == 2
    first = episodes(lake)[0]
    assert np.allclose(first.actions[:, :6], files.actions(files.STEPS)[1:, :6] / 2)
    assert np.array_equal(first.actions[:, 6], files.actions(files.STEPS)[1:, 6]) and first.proprio.shape == (17, 0)
    assert close(shown(first), np.repeat(np.repeat(files.pictures(files.STEPS)[:, ::-1, ::-1], 4, 1), 4, 2))


def test_what_is_exported_comes_back_without_loss_of_numbers(lake, tmp_path):
    made = [synthetic_episode(seed, success=seed != 1, size=64) for seed in range(3)]
    (tmp_path / "set").mkdir()
    writer = make_writer("hdf5", tmp_path / "set", Video())
    for episode in made:
        writer.add(episode, {"task": episode.task})
    writer.finish()
    writer.close()
    assert bring(lake, "libero", tmp_path / "set").imported == 3
    for episode, original in zip(episodes(lake), made, strict=True):
        for name in ("actions", "proprio", "reward", "progress", "initial_state"):
            assert np.array_equal(getattr(episode, name), getattr(original, name)), name
        assert (episode.task, episode.instruction) == (original.task, original.instruction)


def test_what_is_exported_keeps_its_words_and_its_rate(lake, tmp_path):
    """Tasks whose names no file can have, paraphrased instructions, and one task in two suites."""
    said = [
        ("put it", "put it", "a"),
        ("put_it", "put", "a"),
        ("拿杯子", "拿", "a"),
        ("放盘子", "放", "a"),
        ("放盘子", "放下", "a"),
    ]
    said += [("put it", "put it there", "b"), ("放盘子", "放", "b")]
    made = []
    for seed, (task, instruction, suite) in enumerate(said):
        episode = synthetic_episode(seed, task=task, size=64)
        made.append(replace(episode, instruction=instruction, suite=suite, settings={"fps": 12.5}))
    (tmp_path / "set").mkdir()
    writer = make_writer("hdf5", tmp_path / "set", Video())
    for episode in made:
        writer.add(episode, {"task": episode.task, "instruction": episode.instruction})
    writer.finish()
    assert len(list((tmp_path / "set").iterdir())) == 6
    assert bring(lake, "libero", tmp_path / "set").imported == len(made)
    found = episodes(lake)
    assert sorted((one.task, one.instruction) for one in found) == sorted(one[:2] for one in said)
    assert {one.settings["fps"] for one in found} == {12.5}


def test_what_was_seldom_drawn_comes_back_seldom_drawn(lake, tmp_path):
    original = seldom_drawn(synthetic_episode(0, length=16, size=64), 4)
    (tmp_path / "set").mkdir()
    writer = make_writer("hdf5", tmp_path / "set", Video())
    writer.add(original, {"task": original.task, "settings": json.dumps(original.settings)})
    writer.finish()
    assert bring(lake, "libero", tmp_path / "set").imported == 1
    [episode] = episodes(lake)
    assert episode.camera_stride == 4
    assert [bool(one) for one in episode.images] == [bool(one) for one in original.images]
    outcome = bring(lake, "libero", tmp_path / "set", chunk=5)
    assert dict(outcome.refusals) == {"frame_count": 1} and "every 4th state was drawn" in refusals(lake)["frame_count"]


def test_a_file_laid_out_otherwise_than_the_first_is_quarantined(lake, tmp_path):
    """One mapping turns all pictures: those of a file that are upright would be turned upside down."""
    files.libero(tmp_path / "set" / "put_the_bowl_on_the_plate_demo.hdf5", demos=2)
    second = files.libero(tmp_path / "set" / "put_the_bowl_on_the_stove_demo.hdf5", demos=2)
    with h5py.File(second, "a") as file:
        file["data"].attrs["macros_image_convention"] = "opencv"
    outcome = bring(lake, "libero", tmp_path / "set", suite="libero_goal", instruction="put the bowl on the plate")
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"layout_differs": 1})
    assert "put_the_bowl_on_the_stove_demo.hdf5 is LIBERO's, upright" in refusals(lake)["layout_differs"]


@pytest.mark.parametrize("rate", [None, [20], "twenty", float("nan")])
def test_a_rate_that_is_not_known_may_be_any(lake, tmp_path, rate):
    for name in ("plate", "stove"):
        files.libero(tmp_path / "set" / f"put_the_bowl_on_the_{name}_demo.hdf5", demos=1)
    with h5py.File(tmp_path / "set" / "put_the_bowl_on_the_stove_demo.hdf5", "a") as file:
        file["data"].attrs["env_args"] = json.dumps({"env_kwargs": {} if rate is None else {"control_freq": rate}})
    assert bring(lake, "libero", tmp_path / "set").imported == 2


def test_an_axis_can_be_turned_round(lake, tmp_path):
    path = files.robomimic(tmp_path / "low_dim.hdf5")
    assert bring(lake, "libero", path, **ROBOMIMIC, scale="1,-1,1,1,1,1").imported == 2
    given = files.actions(files.STEPS)[:-1]
    first = episodes(lake)[0]
    assert np.array_equal(first.actions[:, 1], -given[:, 1]) and np.array_equal(first.actions[:, 0], given[:, 0])
    with pytest.raises(UserError, match="numbers other than 0"):
        bring(lake, "libero", path, **ROBOMIMIC, scale="0")


def test_colours_are_taken_for_pictures_and_positions_are_not(lake, tmp_path):
    """A depth camera's positions have three channels as well, and may come first in the alphabet."""
    path = files.robomimic(tmp_path / "low_dim.hdf5")
    with h5py.File(path, "a") as file:
        for demo in file["data"].values():
            demo["obs/a_position"] = np.zeros((files.STEPS, 32, 32, 3), np.int16)
            demo["obs/front"] = demo["obs/agentview_image"][()]
            del demo["obs/agentview_image"]
    assert bring(lake, "libero", path, **ROBOMIMIC).imported == 2


def test_episodes_are_cut_to_whole_chunks_and_keep_their_end(lake, tmp_path):
    path = files.libero(tmp_path / "put_the_bowl_on_the_plate_demo.hdf5", demos=1, steps=21)
    bring(lake, "libero", path, suite="libero_goal")
    [episode] = episodes(lake)
    assert np.array_equal(episode.actions[:, :6], files.actions(21)[5:, :6])
    assert episode.length == 16 and episode.reward[-1] == 1


def test_headers_of_what_was_read_are_not_kept(tmp_path):
    """HDF5 would keep them all: 8 KiB a record, and several times as much in the allocator."""
    path = tmp_path / "many.hdf5"
    with h5py.File(path, "w") as file:
        for number in range(1500):
            for name in ("actions", "rewards", "states"):
                file[f"data/demo_{number}/{name}"] = np.zeros((2, 7))
    with opened(path) as file:
        for demo in file["data"]:
            for name in ("actions", "rewards", "states"):
                read(file["data"][demo], name)
        _, _, held, _ = file.id.get_mdc_size()
    assert held < 1.2 * 2**20


def test_what_nobody_said_is_refused_with_the_choices(lake, tmp_path):
    path = files.robomimic(tmp_path / "low_dim.hdf5")
    with pytest.raises(UserError, match="unknown is not failure.*rewards"):
        bring(lake, "libero", path, task="lift", instruction="lift the cube")
    with pytest.raises(UserError, match="no field 'obs/front'; it has: actions"):
        bring(lake, "libero", path, **ROBOMIMIC, image="obs/front")
    with pytest.raises(UserError, match="--map colour=…: there is no such entry"):
        bring(lake, "libero", path, **ROBOMIMIC, colour="red")
    with pytest.raises(UserError, match="has no task 'lift'"):
        bring(lake, "libero", path, suite="libero_goal", **ROBOMIMIC)
    assert not lake.exists("imports")


def broken(path, spoil) -> None:
    with h5py.File(path, "a") as file:
        spoil(file["data/demo_1"])


def replaced(group: h5py.Group, name: str, data: np.ndarray) -> None:
    del group[name]
    group[name] = data


def nan(group: h5py.Group) -> None:
    group["actions"][3, 2] = np.nan


DAMAGE = {
    "field_missing": lambda group: group.__delitem__("obs/agentview_rgb"),
    "shape_mismatch": lambda group: replaced(group, "actions", np.zeros((files.STEPS, 5))),
    "frame_count": lambda group: replaced(group, "obs/agentview_rgb", files.pictures(files.STEPS - 4)),
    "action_not_finite": nan,
    "too_short": lambda group: (
        replaced(group, "actions", np.zeros((4, 7))),
        replaced(group, "obs/agentview_rgb", files.pictures(4)),
        [replaced(group, f"obs/{name}_states", np.zeros((4, 2))) for name in ("joint", "gripper", "ee")],
        replaced(group, "rewards", np.zeros(4)),
    ),
    "success_unclear": lambda group: replaced(group, "rewards", np.full(files.STEPS, 0.4)),
}


def without_rows(group: h5py.Group) -> None:
    for name in ("actions", "rewards", "states", "obs/agentview_rgb", *(f"obs/{one}_states" for one in STATES)):
        replaced(group, name, group[name][:0])


STATES = ("joint", "gripper", "ee")
ODD = {
    "a record without a row": ("too_short", without_rows),
    "one number for all pictures": ("shape_mismatch", lambda group: replaced(group, "obs/agentview_rgb", 3)),
    "one number for all actions": ("shape_mismatch", lambda group: replaced(group, "actions", 3.0)),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_record_costs_itself_alone(lake, tmp_path, name):
    path = files.libero(tmp_path / "put_the_bowl_on_the_plate_demo.hdf5")
    rule, spoil = ODD[name]
    broken(path, spoil)
    outcome = bring(lake, "libero", path, suite="libero_goal")
    assert (outcome.imported, dict(outcome.refusals)) == (2, {rule: 1})


def test_the_first_record_does_not_decide_alone_which_fields_there_are(lake, tmp_path):
    """It lost its camera; another one's pictures must not stand in for it, in no record."""
    path = files.libero(tmp_path / "put_the_bowl_on_the_plate_demo.hdf5")
    with h5py.File(path, "a") as file:
        for number in range(3):
            file[f"data/demo_{number}/obs/eye_in_hand_rgb"] = np.zeros((files.STEPS, 32, 32, 3), np.uint8)
        del file["data/demo_0/obs/agentview_rgb"]
    outcome = bring(lake, "libero", path, suite="libero_goal")
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"field_missing": 1})
    assert [episode.settings["import"]["record"] for episode in episodes(lake)] == ["demo_1", "demo_2"]


@pytest.mark.parametrize("signature", [b"SNOD", b"HEAP", b"TREE"])
def test_a_damaged_table_of_contents_costs_its_file_alone(lake, tmp_path, signature):
    for name in ("put_the_bowl_on_the_plate", "put_the_bowl_on_the_stove"):
        files.libero(tmp_path / "set" / f"{name}_demo.hdf5", demos=2)
    second = tmp_path / "set" / "put_the_bowl_on_the_stove_demo.hdf5"
    whole = second.read_bytes()
    root = whole.index(signature) + 4
    second.write_bytes(whole[:root] + whole[root:].replace(signature, b"\0" * 4))
    outcome = bring(lake, "libero", tmp_path / "set", suite="libero_goal", instruction="put the bowl on the plate")
    assert outcome.imported == 2 and set(outcome.refusals) <= {"file_unreadable", "field_missing"}
    assert outcome.quarantined >= 1


@pytest.mark.parametrize("rule", DAMAGE)
def test_a_damaged_record_is_quarantined_and_the_others_come_in(lake, tmp_path, rule):
    path = files.libero(tmp_path / "put_the_bowl_on_the_plate_demo.hdf5")
    broken(path, DAMAGE[rule])
    outcome = bring(lake, "libero", path, suite="libero_goal")
    assert (outcome.imported, outcome.quarantined, dict(outcome.refusals)) == (2, 1, {rule: 1})
    assert [episode.settings["import"]["record"] for episode in episodes(lake)] == ["demo_0", "demo_2"]
    [(refused, reason)] = refusals(lake).items()
    assert refused == rule and reason.startswith(f"{rule}: ")
    [row] = lake.frame("quarantine").to_dicts()
    assert '"record":"demo_1"' in row["settings"] and path.name in row["settings"]


def test_a_truncated_file_is_quarantined_and_the_other_files_come_in(lake, tmp_path):
    for name in ("put_the_bowl_on_the_plate", "put_the_bowl_on_the_stove"):
        files.libero(tmp_path / "set" / f"{name}_demo.hdf5", demos=2)
    first = tmp_path / "set" / "put_the_bowl_on_the_plate_demo.hdf5"
    first.write_bytes(first.read_bytes()[:5000])
    outcome = bring(lake, "libero", tmp_path / "set", suite="libero_goal", instruction="put the bowl on the stove")
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"file_unreadable": 1})
    assert "truncated" in refusals(lake)["file_unreadable"]


def test_bytes_overwritten_inside_cost_the_record_that_they_belong_to(lake, tmp_path):
    path = tmp_path / "put_the_bowl_on_the_plate_demo.hdf5"
    files.libero(path)
    with h5py.File(path, "a") as file:
        group = file["data/demo_1/obs"]
        del group["agentview_rgb"]
        images = files.pictures(files.STEPS)
        stored = group.create_dataset(
            "agentview_rgb", data=images, chunks=images.shape, compression="gzip", fletcher32=True
        )
        place = stored.id.get_chunk_info(0)
    with path.open("r+b") as raw:
        raw.seek(place.byte_offset + place.size // 2)
        raw.write(b"\xff" * 64)
    outcome = bring(lake, "libero", path, suite="libero_goal")
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"file_unreadable": 1})
