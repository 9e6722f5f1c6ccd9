from dataclasses import replace

import numpy as np
import pytest

from worldvla.episodes.frame_bank import FrameBank
from worldvla.errors import UserError
from worldvla.rl.starts import StartStates
from worldvla.training.device import generator


@pytest.fixture
def bank() -> FrameBank:
    """Two episodes of 5 and 4 frames; each pixel is the frame's number."""
    return FrameBank(
        episode_ids=["a", "b"],
        tasks=["T", "T"],
        instructions=["push", "pull"],
        success=np.zeros(2, dtype=bool),
        images=np.arange(9, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), dtype=np.uint8),
        actions=np.arange(9, dtype=np.float32)[:, None] * np.ones((1, 7), dtype=np.float32),
        proprio=10 + np.arange(9, dtype=np.float32)[:, None] * np.ones((1, 2), dtype=np.float32),
        reward=np.zeros(9, dtype=np.float32),
        progress=np.zeros(9, dtype=np.float32),
        starts=np.array([0, 5]),
        lengths=np.array([5, 4]),
    )


def keyframe(episode_id, step, kind="start"):
    return {"episode_id": episode_id, "step": step, "kind": kind, "task": "T"}


def test_history_ends_at_the_present_and_repeats_the_first_frame(bank):
    starts = StartStates.from_bank(bank, [keyframe("b", 0), keyframe("b", 1), keyframe("a", 4)], 3, 1, 0.0)
    shown = starts.images[:, 0, 0, 0]
    assert shown.tolist() == [0, 2, 3, 4, 5, 6]
    assert shown[starts.anchor].tolist() == [5, 5, 0]
    assert shown[starts.history].tolist() == [[5, 5, 5], [5, 5, 6], [2, 3, 4]]
    assert starts.instructions == ["pull", "pull", "push"]
    assert starts.step.tolist() == [0, 1, 4]
    assert starts.tasks == ["T"] * 3
    further = StartStates.from_bank(bank, [keyframe("b", 3), keyframe("a", 4)], 3, 2, 0.0)
    assert further.images[:, 0, 0, 0][further.history].tolist() == [[5, 6, 8], [0, 2, 4]]
    assert starts.travelled[:, 0].tolist() == [0, 5, 0 + 1 + 2 + 3]
    assert starts.proprio.tolist() == [[15, 15], [16, 16], [14, 14]]


def test_of_a_bank_without_pixels_only_the_needed_frames_are_asked_for(bank):
    rows = [keyframe("b", 1), keyframe("a", 4), keyframe("b", 0)]
    asked = []

    def pictures(frames):
        asked.append(frames.tolist())
        return bank.images[frames]

    blind = replace(bank, images=np.zeros((9, 0, 0, 3), np.uint8))
    starts, expected = (
        StartStates.from_bank(blind, rows, 2, 1, 0.0, pictures),
        StartStates.from_bank(bank, rows, 2, 1, 0.0),
    )
    assert asked == [[0, 3, 4, 5, 6]]
    for name in ("images", "anchor", "history", "travelled"):
        np.testing.assert_array_equal(getattr(starts, name), getattr(expected, name))


def test_what_cannot_be_built_is_said(bank):
    with pytest.raises(UserError, match="no start states"):
        StartStates.from_bank(bank, [], 2, 1, 0.0)
    with pytest.raises(ValueError, match="gone"):
        StartStates.from_bank(bank, [keyframe("gone", 0)], 2, 1, 0.0)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_draws_keep_the_share_on_average_and_repeat_nothing_needlessly(bank, share):
    rows = [keyframe("a", step) for step in range(4)] + [keyframe("b", step, "near_failure") for step in range(3)]
    starts = StartStates.from_bank(bank, rows, 1, 1, share)
    draws = [starts.draw(4, generator(0, step)) for step in range(300)]
    near = np.mean([np.mean([starts.kind[i] == "near_failure" for i in draw]) for draw in draws])
    assert near == pytest.approx(share, abs=0.04)
    if share < 1:
        assert all(len(set(draw)) == 4 for draw in draws)
    assert np.array_equal(draws[0], starts.draw(4, generator(0, 0)))


def test_every_task_has_as_many_groups_however_many_states_it_has(bank):
    rows = [keyframe("a", step) for step in range(4)] + [keyframe("b", 0)]
    starts = replace(StartStates.from_bank(bank, rows, 1, 1, 0.0), tasks=["A"] * 3 + ["B", "C"])

    def tasks(groups: int, step: int, without: tuple[str, ...] = ()) -> list[str]:
        return [starts.tasks[row] for row in starts.draw(groups, generator(0, step), without)]

    assert all(sorted(tasks(9, step)) == ["A"] * 3 + ["B"] * 3 + ["C"] * 3 for step in range(20))
    assert all(sorted(tasks(9, step, ("B",))) == ["A"] * 3 + ["C"] * 3 for step in range(20))
    assert len(set(starts.draw(9, generator(0))[:3])) == 3
    # Of what does not divide every task has its share over draws.
    drawn = [task for step in range(300) for task in tasks(4, step)]
    assert all(drawn.count(task) / len(drawn) == pytest.approx(1 / 3, abs=0.03) for task in "ABC")
    assert {len(tasks(2, step)) for step in range(20)} == {2}


def test_a_share_of_keyframes_that_do_not_exist_goes_to_starts(bank):
    starts = StartStates.from_bank(bank, [keyframe("a", 0), keyframe("b", 0)], 1, 1, 0.5)
    assert sorted(starts.draw(4, generator(0))) == [0, 0, 1, 1]
