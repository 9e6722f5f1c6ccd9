import polars as pl
import pytest

from tests.curation.synthetic import CURATION, episode_row, frame_rows, outcomes
from worldvla.curation.expectations import run_suite
from worldvla.curation.frame_facts import frame_facts
from worldvla.curation.sans import curate


def failed(result):
    return {e["name"]: e["unexpected_ids"] for e in result.expectations if not e["success"]}


def sans_frame(count=30):
    rows = outcomes(count)
    sans = curate(pl.DataFrame(rows), {r["episode_id"]: ("demonstrations", None) for r in rows}, CURATION)
    states = pl.DataFrame(rows).select("episode_id", "initial_state_digest")
    return pl.DataFrame(sans, infer_schema_length=None).join(states, on="episode_id")


def facts_of(frames, length=8):
    facts = frame_facts(frames)
    return facts.with_columns(length=pl.lit(length))


def test_sound_tables_pass():
    assert run_suite("episodes", pl.DataFrame(outcomes(12)), chunk=8).success
    assert run_suite("frames", facts_of(pl.concat([frame_rows("a", 8), frame_rows("b", 8)]))).success
    assert run_suite("sans", sans_frame()).success


@pytest.mark.parametrize(
    ("changes", "expectation"),
    [
        ({"length": 12}, "lengths are multiples of the chunk (8)"),
        ({"best_progress": 1.0}, "success is best progress 1"),
        ({"final_progress": 0.9}, "final progress is at most best progress"),
        ({"source": "rumour"}, "the source is known"),
        ({"instruction": " "}, "every episode has an instruction"),
        ({"best_progress": 1.5}, "best progress is in [0, 1]"),
        ({"best_progress_step": 9}, "best progress is reached within the episode"),
    ],
)
def test_a_broken_episode_is_named(changes, expectation):
    broken = episode_row(100) | changes
    result = run_suite("episodes", pl.DataFrame([*outcomes(6), broken]), chunk=8)
    assert not result.success
    assert failed(result)[expectation] == [broken["episode_id"]]
    assert any(broken["episode_id"] in sentence for sentence in result.failures)


def test_doubled_ids_are_named():
    rows = outcomes(3)
    result = run_suite("episodes", pl.DataFrame([*rows, rows[0]]), chunk=8)
    assert failed(result) == {"episode ids are unique": [rows[0]["episode_id"]]}


@pytest.mark.parametrize(
    ("changes", "expectation"),
    [
        ({"step": [0, 1, 2, 3, 4, 5, 6, 7, 9]}, "steps are 0, 1, 2, … without gap or repeat"),
        ({"action": [[1.5] * 7] * 8 + [None]}, "actions are at most 1"),
        ({"action": [[float("nan")] * 7] + [[0.0] * 7] * 7 + [None]}, "actions are finite"),
        ({"reward": [0.5] * 9}, "rewards are 0 or 1"),
        ({"image": [b""] + [b"x"] * 8}, "every frame has a picture"),
        ({"image": [b"no picture"] * 9}, "sampled pictures decode"),
    ],
)
def test_broken_frames_are_named(changes, expectation):
    result = run_suite("frames", facts_of(pl.concat([frame_rows("a", 8), frame_rows("broken", 8, **changes)])))
    assert failed(result)[expectation] == ["broken"]


def test_a_missing_frame_is_named():
    result = run_suite("frames", facts_of(pl.concat([frame_rows("a", 8), frame_rows("short", 8)[:-1]])))
    assert failed(result)["an episode of T actions has T + 1 frames"] == ["short"]


def test_sans_on_both_sides_is_named():
    frame = sans_frame()
    both = frame["split"][0]
    other = frame.filter(pl.col("split") != both)["episode_id"][0]
    digest = frame["initial_state_digest"][0]
    frame = frame.with_columns(
        initial_state_digest=pl.when(pl.col("episode_id") == other)
        .then(pl.lit(digest))
        .otherwise("initial_state_digest")
    )
    assert set(failed(run_suite("sans", frame))["no initial state is in two splits"]) == {frame["episode_id"][0], other}


def test_sans_labels_must_follow_and_outcomes_must_differ():
    frame = sans_frame().with_columns(label=pl.lit("success"))
    failures = failed(run_suite("sans", frame))
    assert "the training set has both outcomes" in failures
    assert set(failures["the label follows from the measured values"]) == set(
        frame.filter(pl.col("success_frames") == 0)["episode_id"].to_list()
    )


def test_a_rule_that_cannot_be_computed_is_an_error():
    with pytest.raises(RuntimeError, match="instruction|source|could not be computed"):
        run_suite("episodes", pl.DataFrame(outcomes(2)).drop("source"), chunk=8)
