"""Replay with a world model and a judge that have learned nothing: what must hold of any."""

import io
import json

import av
import numpy as np
import pytest
from PIL import Image

from tests.alignment.pushing import SIZE, bank
from tests.sight import untrained_sight
from worldvla.alignment.judge import Judge
from worldvla.alignment.plots import horizon
from worldvla.alignment.protocol import protocol
from worldvla.alignment.replay import illustrated, replay
from worldvla.alignment.summary import summarize
from worldvla.campaigns import load
from worldvla.config import Imagination, WorldModelArchitecture
from worldvla.lake.digests import rows_version
from worldvla.lake.tables import TABLES
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.progress import ignore
from worldvla.world_model.training import pretrain

STRIDE = 2
IMAGINATION = Imagination(denoising_steps=2)
JUDGED = 0.45  # from which probability on the judge sees success in what is imagined


def architecture() -> WorldModelArchitecture:
    """The smallest that folds 32 pixels, hardly trained."""
    settings = load("test").world_model.model_dump()
    settings |= {"image_size": SIZE, "frame_stride": STRIDE, "pretrain_steps": 4}
    settings["autoencoder"] |= {"patch": 4, "latent_channels": 4, "channels": [8, 8], "steps": 4, "batch_size": 4}
    settings["transformer"] |= {"layers": 1, "heads": 2, "head_dim": 16, "patch": 2}
    settings["training"] |= {"batch_size": 4}
    return WorldModelArchitecture(**settings)


@pytest.fixture(scope="module")
def world_model():
    return pretrain(bank(), untrained_sight(), architecture(), 4, 0, Checkpointer(None), ignore)


@pytest.fixture(scope="module")
def judge():
    return Judge({"image_size": SIZE, "channels": [8, 8]}).eval()


@pytest.fixture(scope="module")
def rows(world_model, judge):
    return replay(world_model, judge, bank(), IMAGINATION, 0, JUDGED, pictures=2)


def test_every_episode_is_imagined_to_its_own_end(rows):
    for row, length in zip(rows, bank().lengths - 1, strict=True):
        assert {len(value) for name, value in row.items() if name.endswith("_curve")} == {length // STRIDE}
        assert row["psnr_last"] == pytest.approx(row["psnr_curve"][-1])
        assert row["reward_success"] == (max(row["reward_curve"]) >= row["success_threshold"])
    assert [row["true_success"] for row in rows] == bank().success.tolist()


def test_rows_fit_their_table(rows):
    table = TABLES["alignments"].arrow(
        [{"alignment_version": "v", "model_id": "m", "protocol": "p", **r} for r in rows]
    )
    assert table.num_rows == len(rows)
    missing = {name for name in table.column_names if table[name].null_count == len(rows)}
    assert missing == {"lpips"}


def test_the_same_seed_gives_the_same_rows(world_model, judge, rows):
    """But for the videos: a busy encoder's bytes are not the same twice."""

    def version(replayed):
        return rows_version([{name: value for name, value in row.items() if name != "video"} for row in replayed])

    assert version(replay(world_model, judge, bank(), IMAGINATION, 0, JUDGED, pictures=2)) == version(rows)
    assert version(replay(world_model, judge, bank(), IMAGINATION, 1, JUDGED, pictures=2)) != version(rows)


def test_the_static_baseline_is_the_first_frame_repeated(rows):
    moving = bank()
    frames = moving.images[moving.frames_of(0)].astype(float)
    expected = 10 * np.log10(255**2 / ((frames[-1] - frames[0]) ** 2).mean())
    assert rows[0]["static_psnr_last"] == pytest.approx(expected, abs=1e-3)


def test_a_length_off_the_chunk_is_refused(world_model, judge):
    with pytest.raises(ValueError, match="multiple"):
        replay(world_model, judge, bank(lengths=(6,)), IMAGINATION, 0, JUDGED)


def test_pictures_are_of_both_outcomes_and_can_be_read(rows):
    assert illustrated(np.array([True, True, True, False]), 3) == [0, 3, 1]
    shown = [row for row in rows if row["strip"]]
    assert {row["true_success"] for row in shown} == {True, False}
    assert Image.open(io.BytesIO(shown[0]["strip"])).format == "PNG"
    with av.open(io.BytesIO(shown[0]["video"])) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert len(list(container.decode(video=0))) == len(shown[0]["psnr_curve"])


def test_the_summary_counts_what_the_rows_say(rows):
    summary = summarize(rows)
    json.dumps(summary, allow_nan=False)
    agree = sum(row["reward_success"] == row["true_success"] for row in rows)
    assert (summary["reward_alignment"]["successes"], summary["reward_alignment"]["n"]) == (agree, 12)
    assert sum(summary["reward_outcomes"].values()) == summary["n"] == 12
    assert summary["n_success"] == summary["n_failure"] == 6
    assert {name: task["n"] for name, task in summary["tasks"].items()} == {"other": 6, "toy": 6}
    curves = summary["curves"]
    assert curves["n"] == [12] * 4 + [6] * 2 and curves["step"] == [2, 4, 6, 8, 10, 12]
    assert curves["reward_alignment"][-1]["successes"] == agree
    assert Image.open(io.BytesIO(horizon(summary))).format == "PNG"


def test_the_judge_has_a_threshold_of_his_own_for_what_is_imagined(world_model, judge, rows):
    def told(row):
        return [
            max(row[curve]) >= threshold for curve, threshold in (("judge_curve", JUDGED), ("judge_real_curve", 0.5))
        ]

    assert all([row["judged_success_imagined"], row["judged_success_real"]] == told(row) for row in rows)
    anything = replay(world_model, judge, bank(), IMAGINATION, 0, 0.0, pictures=0)
    assert all(row["judged_success_imagined"] for row in anything)
    assert [row["judged_success_real"] for row in anything] == [row["judged_success_real"] for row in rows]
    by_step = summarize(anything)["curves"]["visual_alignment"]
    assert by_step[-1]["rate"] == 0.5


def test_perfect_imagination_is_in_full_alignment_at_every_step(rows):
    perfect = [row | {"reward_curve": row["true_reward_curve"], "reward_success": row["true_success"]} for row in rows]
    summary = summarize(perfect)
    assert {rate["rate"] for rate in summary["curves"]["reward_alignment"]} == {1.0}
    assert summary["curves"]["reward_f1"][-1] == 1.0
    assert summary["reward_outcomes"]["missed_success"] == summary["reward_outcomes"]["false_success"] == 0


def test_unlike_conditions_have_unlike_digests():
    def of(ids=("a", "b"), judge="j", **settings):
        return protocol(IMAGINATION.model_copy(update=settings), SIZE, 4, STRIDE, judge, ids, 0)["digest"]

    assert of() == of(ids=("b", "a"))
    assert len({of(), of(ids=("a",)), of(judge="k"), of(denoising_steps=5)}) == 4
