import random

import numpy as np
import polars as pl
import pytest

from tests.curation.synthetic import CURATION, episode_row, outcomes
from worldvla.curation.sans import curate, drawn_by, judge_outcome
from worldvla.curation.splits import split_of


def origins_of(rows, origin="demonstrations", iteration=None):
    return {row["episode_id"]: (origin, iteration) for row in rows}


@pytest.mark.parametrize(
    ("best", "success_frames", "label"),
    [
        (1.0, 1, "success"),
        (0.5, 0, "near_success"),
        (0.99, 0, "near_success"),
        (0.4999, 0, "failure"),
        (0.0, 0, "failure"),
    ],
)
def test_label_follows_the_measured_values(best, success_frames, label):
    given, rule = judge_outcome(episode_row(0, best, success_frames), 0.5)
    assert given == label
    assert rule.startswith(f"{label}: ")


def test_progress_that_reaches_the_threshold_in_its_own_precision_is_near():
    given, _ = judge_outcome(episode_row(0, best=float(np.float32(0.7))), 0.7)
    assert given == "near_success"


def test_the_rule_names_what_decided():
    _, near = judge_outcome(episode_row(0, best=0.625, length=16), 0.5)
    assert near == "near_success: no state of 17 is a success, best progress 0.625 at step 16 >= 0.5"
    _, lost = judge_outcome(episode_row(0, success_frames=3, final_success=False), 0.5)
    assert lost == "success: 3 of 9 states are successes, the last state is none"


def test_curation_does_not_depend_on_order():
    rows = outcomes(30)
    expected = curate(pl.DataFrame(rows), origins_of(rows), CURATION)
    random.Random(0).shuffle(rows)
    assert curate(pl.DataFrame(rows), origins_of(rows), CURATION) == expected
    assert [row["episode_id"] for row in expected] == sorted(row["episode_id"] for row in rows)


def test_adding_episodes_moves_none():
    rows = outcomes(60)
    few = {r["episode_id"]: r for r in curate(pl.DataFrame(rows[:30]), origins_of(rows), CURATION)}
    many = {r["episode_id"]: r for r in curate(pl.DataFrame(rows), origins_of(rows), CURATION)}
    assert {k: many[k] for k in few} == few


def test_the_split_is_the_initial_states():
    rows = [episode_row(i, initial_state_digest="one state") for i in range(20)]
    assert {r["split"] for r in curate(pl.DataFrame(rows), origins_of(rows), CURATION)} == {
        split_of("one state", CURATION)
    }


def test_one_row_stands_for_equal_content_and_names_the_others():
    rows = [episode_row(i, content_digest="same") for i in range(3)]
    origins = {
        rows[0]["episode_id"]: ("feedback", "0001"),
        rows[1]["episode_id"]: ("exploration_rollouts", None),
        rows[2]["episode_id"]: ("feedback", "0000"),
    }
    (kept,) = curate(pl.DataFrame(rows), origins, CURATION)
    assert (kept["episode_id"], kept["origin"]) == (rows[1]["episode_id"], "exploration_rollouts")
    assert kept["rule"].endswith(f"content: {rows[2]['episode_id']}, {rows[0]['episode_id']}")


def test_an_episode_without_origin_is_an_error():
    with pytest.raises(KeyError):
        curate(pl.DataFrame(outcomes(2)), {}, CURATION)


def test_what_came_back_is_drawn_as_feedback_where_that_has_a_share():
    rows = pl.DataFrame(
        {"label": ["success", "failure", "near_success"], "origin": ["demonstrations", "feedback", "feedback"]}
    )
    shares = {"success": 0.5, "failure": 0.3, "near_success": 0.2}
    assert drawn_by(rows, shares) == ["success", "failure", "near_success"]
    assert drawn_by(rows, shares | {"feedback": 0.0}) == ["success", "feedback", "feedback"]
