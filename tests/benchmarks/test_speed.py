"""What the figures of `benchmarks.speed` count."""

import pytest

from benchmarks import speed
from tests.sight import untrained_sight
from tests.world_model.conftest import CHUNK, FRAMES, toy_architecture, toy_bank
from worldvla import campaigns
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.progress import ignore
from worldvla.world_model.imagination import Imagination
from worldvla.world_model.training import pretrain


@pytest.mark.parametrize(("measure", "pictures"), [(speed.imagined_frames, FRAMES), (speed.imagined_actions, 1)])
def test_frames_that_are_counted_are_decoded(measure, pictures, monkeypatch) -> None:
    bank, decoded = toy_bank(), []
    model = pretrain(bank, untrained_sight(), toy_architecture(1, 1), CHUNK, 0, Checkpointer(None), ignore)
    step = Imagination.step

    def watched(*args, **settings):
        imagined = step(*args, **settings)
        decoded.append(imagined.images.shape[1])
        return imagined

    monkeypatch.setattr(Imagination, "step", watched)
    assert measure(model, bank, campaigns.load("test")) > 0
    assert set(decoded) == {pictures}
