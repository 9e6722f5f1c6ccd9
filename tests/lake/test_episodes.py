from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.factories import seldom_drawn, synthetic_episode
from worldvla.episodes.episode import Source
from worldvla.episodes.images import decode_image, resize
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import (
    episode_rows,
    existing,
    load_bank,
    load_images,
    read_episode,
    remaining_version,
    set_members,
    write_episodes,
    write_set,
)
from worldvla.lake.retractions import retract_episodes
from worldvla.lake.store import Lake

COMMIT = Commit("run", "demonstrations", "demo")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_a_bank_holds_what_was_recorded_in_the_order_asked(lake: Lake) -> None:
    episodes = [synthetic_episode(seed, length=8 + 8 * (seed % 2), success=seed != 1) for seed in range(5)]
    ids = write_episodes(lake, episodes, COMMIT, batch=2)
    order = [3, 0, 4, 1]
    bank = load_bank(lake, [ids[i] for i in order], image_size=8)
    assert bank.success.tolist() == [i != 1 for i in order]
    for position, i in enumerate(order):
        frames, episode = bank.frames_of(position), episodes[i]
        expected = np.stack([resize(decode_image(image), 8) for image in episode.images])
        np.testing.assert_array_equal(bank.images[frames], expected)
        np.testing.assert_array_equal(bank.actions[frames][:-1], episode.actions)
        np.testing.assert_array_equal(bank.actions[frames][-1], np.zeros(7))
        np.testing.assert_array_equal(bank.proprio[frames], episode.proprio)
        np.testing.assert_array_equal(bank.reward[frames], episode.reward)
        np.testing.assert_array_equal(bank.progress[frames], episode.progress)
        assert bank.instructions[position] == episode.instruction


def test_a_bank_knows_which_frames_were_drawn(lake: Lake) -> None:
    whole, sparse = synthetic_episode(0), seldom_drawn(synthetic_episode(1, length=12), 4)
    ids = write_episodes(lake, [whole, sparse], COMMIT)
    assert read_episode(lake, ids[1]).episode_id == sparse.episode_id
    bank = load_bank(lake, ids[::-1], image_size=16)
    drawn = np.array([step % 4 == 0 for step in range(13)] + [True] * 9)
    np.testing.assert_array_equal(bank.drawn(), drawn)
    np.testing.assert_array_equal(load_bank(lake, ids[::-1], None).drawn(), drawn)
    np.testing.assert_array_equal(bank.select(np.array([1, 0])).drawn(), np.roll(drawn, 9))
    assert bank.images[drawn].any(axis=(1, 2, 3)).all() and not bank.images[~drawn].any()
    np.testing.assert_array_equal(bank.images[4], resize(decode_image(sparse.images[4]), 16))
    with pytest.raises(UserError, match=f"{ids[1]} was recorded without an image of step 5"):
        load_images(lake, bank, np.array([4, 5]), 16)


def test_a_bank_without_its_pixels_and_some_of_its_pictures(lake: Lake) -> None:
    episodes = [synthetic_episode(seed, length=8 + 8 * (seed % 2)) for seed in range(4)]
    ids = write_episodes(lake, episodes, COMMIT, batch=2)
    lake.delete("episodes", f"episode_id = '{ids[0]}'")
    lake.delete("frames", f"episode_id = '{ids[0]}'")
    order = [ids[3], ids[1], ids[2]]
    bank, whole = load_bank(lake, order, None), load_bank(lake, order, 8)
    assert bank.images.shape == (whole.frame_count, 0, 0, 3) and bank.frame_count == whole.frame_count
    for name in ("actions", "proprio", "reward", "progress", "starts", "lengths"):
        np.testing.assert_array_equal(getattr(bank, name), getattr(whole, name))
    frames = np.array([40, 3, 16, 17, 18, 3])
    np.testing.assert_array_equal(load_images(lake, bank, frames, 8), whole.images[frames])
    assert load_images(lake, bank, frames[:0], 8).shape == (0, 8, 8, 3)
    lake.delete("frames", f"episode_id = '{ids[1]}' AND step = 1")
    with pytest.raises(UserError, match=f"missing of episode {ids[1]}"):
        load_images(lake, bank, frames, 8)


def test_a_bank_knows_nothing_of_robots_that_sense_otherwise_than_most(lake: Lake) -> None:
    episodes = [synthetic_episode(seed, length=4) for seed in range(4)]
    other = replace(episodes[1], proprio=episodes[1].proprio[:, :3])
    mute = replace(episodes[2], proprio=episodes[2].proprio[:, :0])
    ids = write_episodes(lake, [episodes[0], other, mute, episodes[3]], COMMIT)
    bank = load_bank(lake, ids, None)
    assert bank.proprio.shape == (20, 5)
    for index, episode in ((0, episodes[0]), (3, episodes[3])):
        np.testing.assert_array_equal(bank.proprio[bank.frames_of(index)], episode.proprio)
    assert np.isnan(bank.proprio[5:15]).all()
    assert load_bank(lake, ids[1:2], None).proprio.shape == (5, 3)
    assert load_bank(lake, ids[2:3], None).proprio.shape == (5, 0)


def test_an_empty_bank(lake: Lake) -> None:
    bank = load_bank(lake, [], image_size=8)
    assert len(bank) == bank.frame_count == 0


def test_frames_of_an_episode_lie_together_in_ascending_order(lake: Lake) -> None:
    episodes = [synthetic_episode(seed) for seed in range(6)]
    ids = write_episodes(lake, episodes[:4], COMMIT, batch=3)
    lake.delete("episodes", f"episode_id = '{ids[1]}'")
    lake.delete("frames", f"episode_id = '{ids[1]}'")
    write_episodes(lake, episodes, COMMIT, batch=4)
    rows = list(zip(*lake.read("frames", ["episode_id", "step"]).to_pydict().values(), strict=True))
    starts = [i for i, (_, step) in enumerate(rows) if step == 0]
    assert len(starts) == 6
    for start in starts:
        assert rows[start : start + 9] == [(rows[start][0], step) for step in range(9)]


def test_recording_again_makes_no_version(lake: Lake) -> None:
    episodes = [synthetic_episode(seed) for seed in range(3)]
    ids = write_episodes(lake, episodes, COMMIT)
    versions = lake.versions()
    assert write_episodes(lake, iter(episodes), COMMIT, batch=1) == ids
    assert lake.versions() == versions


def test_rows_say_what_the_episode_was(lake: Lake) -> None:
    episode = synthetic_episode(1, success=False, best_progress=0.75, source=Source.POLICY, actor="policy-id")
    write_episodes(lake, [episode], COMMIT)
    [row] = episode_rows(lake).to_dicts()
    assert row["policy_id"] == "policy-id"
    assert (row["success"], row["success_frames"], row["best_progress"], row["best_progress_step"]) == (
        False,
        0,
        0.75,
        8,
    )
    assert row["length"] == 8
    assert row["initial_state"] == episode.initial_state.tolist()
    assert episode_rows(lake, ["nothing"]).is_empty()


def test_a_bank_names_what_it_lacks(lake: Lake) -> None:
    good, blind, broken = synthetic_episode(1), synthetic_episode(2, images=False), synthetic_episode(3)
    write_episodes(lake, [good, blind, broken], COMMIT)
    lake.delete("frames", f"episode_id = '{broken.episode_id}' AND step > 3")
    with pytest.raises(UserError, match="no episode unheard"):
        load_bank(lake, [good.episode_id, "unheard"], 8)
    with pytest.raises(UserError, match=blind.episode_id):
        load_bank(lake, [blind.episode_id], 8)
    with pytest.raises(UserError, match=blind.episode_id):
        load_images(lake, load_bank(lake, [blind.episode_id], None), np.arange(2), 8)
    with pytest.raises(UserError, match=broken.episode_id):
        load_bank(lake, [good.episode_id, broken.episode_id], 8)
    with pytest.raises(ValueError, match="twice"):
        load_bank(lake, [good.episode_id] * 2, 8)


def test_a_set_is_a_function_of_its_members(lake: Lake) -> None:
    ids = write_episodes(lake, [synthetic_episode(seed) for seed in (4, 2, 3)], COMMIT)
    version = write_set(lake, ids, COMMIT)
    assert write_set(lake, reversed(ids), COMMIT) == version
    assert set_members(lake, version) == [ids[1], ids[2], ids[0]]
    assert lake.version("episode_sets") == 2
    with pytest.raises(ValueError, match="unheard"):
        write_set(lake, [*ids, "unheard"], COMMIT)


def test_an_empty_set_is_whole(lake: Lake) -> None:
    version = write_set(lake, [], COMMIT)
    assert remaining_version(lake, version) == version


def test_what_remains_of_a_set_is_without_what_is_missing_or_retracted(lake: Lake) -> None:
    ids = sorted(write_episodes(lake, [synthetic_episode(seed) for seed in range(4)], COMMIT))
    version, other = write_set(lake, ids, COMMIT), write_set(lake, ids[:1], COMMIT)
    assert remaining_version(lake, version) == version
    lake.delete("episodes", f"episode_id = '{ids[3]}'")
    retract_episodes(lake, [ids[2]], "the camera was blocked")
    retract_episodes(lake, [ids[2]], "again")
    remaining = remaining_version(lake, version)
    assert set_members(lake, other) == ids[:1] and remaining_version(lake, other) == other != remaining
    assert write_set(lake, [ids[0], ids[1], ids[2]], COMMIT) == remaining
    assert existing(lake, [*ids, "unheard"]) == set(ids[:3])
    with pytest.raises(UserError, match="unheard"):
        retract_episodes(lake, ["unheard"], "no reason")
