"""Cached latents: written once for each autoencoder and episode, read back as they were made."""

from pathlib import Path

import numpy as np
import pytest

from tests.factories import seldom_drawn, synthetic_episode
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import load_bank, write_episodes
from worldvla.lake.latents import cached_latents, encoded, read_latents, write_latents
from worldvla.lake.store import Lake

COMMIT = Commit("run", "world_model", "demo", "0000")


class Folding:
    """Eight pixels a side as 2 channels of mean and spread; counts the episodes it was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.asked.append(len(images))
        blocks = images.reshape(len(images), 2, 8, 2, 8, 3).astype(np.float32)
        return np.stack([blocks.mean((2, 4, 5)), blocks.std((2, 4, 5))], axis=1).astype(np.float16)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


@pytest.fixture
def ids(lake: Lake) -> list[str]:
    return write_episodes(lake, [synthetic_episode(seed, length=8 + 4 * (seed % 2)) for seed in range(5)], COMMIT)


def direct(lake: Lake, ids: list[str]) -> np.ndarray:
    bank = load_bank(lake, ids, 16)
    return np.concatenate([Folding()(bank.images[bank.frames_of(index)]) for index in range(len(bank))])


def test_only_new_episodes_are_encoded_and_what_is_read_is_what_was_made(lake: Lake, ids: list[str]) -> None:
    first, second, other = Folding(), Folding(), Folding()
    cached_latents(lake, "one", load_bank(lake, ids[:3], None), 16, first, COMMIT)
    assert first.asked == [9, 13, 9]
    order = [ids[i] for i in (4, 0, 3, 2, 1)]
    latents = cached_latents(lake, "one", load_bank(lake, order, None), 16, second, COMMIT)
    assert second.asked == [9, 13]
    assert latents.dtype == np.float16
    np.testing.assert_array_equal(latents, direct(lake, order))
    version = lake.version("latents")
    again = cached_latents(lake, "one", load_bank(lake, order, None), 16, second, COMMIT)
    np.testing.assert_array_equal(again, latents)
    assert len(second.asked) == 2 and lake.version("latents") == version
    cached_latents(lake, "another", load_bank(lake, ids, None), 16, other, COMMIT)
    assert len(other.asked) == 5
    assert encoded(lake, "one") == encoded(lake, "another") == set(ids) and not encoded(lake, "a third")


def test_what_was_not_drawn_has_no_latents(lake: Lake) -> None:
    ids = write_episodes(lake, [synthetic_episode(0), seldom_drawn(synthetic_episode(1), 4)], COMMIT)
    bank, folding = load_bank(lake, ids, None), Folding()
    latents = cached_latents(lake, "one", bank, 16, folding, COMMIT)
    assert folding.asked == [9, 3]
    drawn = bank.drawn()
    np.testing.assert_array_equal(latents[drawn], direct(lake, ids)[drawn])
    assert not latents[~drawn].any() and drawn.sum() == 12


def test_a_call_that_was_interrupted_goes_on(lake: Lake, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldvla.lake.latents.ENCODED_AT_ONCE", 2)
    bank, folding = load_bank(lake, ids, None), Folding()

    def dying(images: np.ndarray) -> np.ndarray:
        if len(folding.asked) == 3:
            raise KeyboardInterrupt
        return folding(images)

    with pytest.raises(KeyboardInterrupt):
        cached_latents(lake, "one", bank, 16, dying, COMMIT)
    assert encoded(lake, "one") == set(ids[:2])
    latents = cached_latents(lake, "one", bank, 16, folding, COMMIT)
    np.testing.assert_array_equal(latents, direct(lake, ids))
    assert lake.read("latents", ["episode_id"]).num_rows == len(ids) == len(folding.asked) - 1


def test_more_episodes_than_one_filter_holds(lake: Lake, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    cached_latents(lake, "one", load_bank(lake, ids, None), 16, Folding(), COMMIT)
    monkeypatch.setattr("worldvla.lake.latents.LONGEST_IN_LIST", 1)
    latents = read_latents(lake, "one", load_bank(lake, ids[3:0:-1], None))
    np.testing.assert_array_equal(latents, direct(lake, ids[3:0:-1]))


def test_what_is_missing_or_does_not_fit_is_named(lake: Lake, ids: list[str]) -> None:
    bank = load_bank(lake, ids[:2], None)
    with pytest.raises(UserError, match=f"{min(ids[:2])} and 1 more have no latents of one"):
        read_latents(lake, "one", bank)
    made = np.zeros((9, 2, 2, 2), np.float16)
    write_latents(lake, "one", {ids[0]: made, ids[1]: made}, COMMIT)
    with pytest.raises(UserError, match=f"the latents of episode {ids[1]} .* 13 pictures"):
        read_latents(lake, "one", bank)
    assert read_latents(lake, "one", load_bank(lake, ids[:1], None)).shape == made.shape


def test_an_empty_bank_has_no_latents(lake: Lake) -> None:
    assert cached_latents(lake, "one", load_bank(lake, [], None), 16, Folding(), COMMIT).shape[0] == 0
