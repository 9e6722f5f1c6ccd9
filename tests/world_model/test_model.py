"""The bundle: shapes, bytes, and what its parts read."""

import copy

import numpy as np
import pytest
import torch

from tests.world_model.conftest import CHUNK, FRAMES, IMAGE_SIZE, toy_architecture
from worldvla.errors import UserError
from worldvla.world_model.autoencoder import FrameAutoencoder, autoencoder_digest, bank_latents, episode_latents
from worldvla.world_model.autoencoder_training import median_pictures, salient_pixels, spread
from worldvla.world_model.contact import SCENE
from worldvla.world_model.embodiment import Embodiment
from worldvla.world_model.model import WorldModel, assemble, autoencoder_config, embodiment_config
from worldvla.world_model.reward_head import worth


def test_bytes_carry_the_whole_model(model):
    data = model.to_bytes()
    restored = WorldModel.from_bytes(model.config, data)
    assert restored.to_bytes() == data
    assert (restored.chunk, restored.image_size) == (CHUNK, IMAGE_SIZE)


def test_autoencoder_folds_eight_pixels_into_a_latent(model, bank):
    images = torch.from_numpy(bank.images[:3])
    latents = model.autoencoder.encode(images)
    assert latents.shape == (3, 4, IMAGE_SIZE // 8, IMAGE_SIZE // 8)
    decoded = model.autoencoder.decode(latents)
    assert decoded.shape == images.shape and decoded.dtype == torch.uint8


def test_latents_of_the_training_frames_are_normalized(model, bank):
    with torch.no_grad():
        latents = model.autoencoder.encode(torch.from_numpy(bank.images))
    assert latents.mean((0, 2, 3)).abs().max() < 0.05
    assert (latents.std((0, 2, 3)) - 1).abs().max() < 0.05


def test_salient_pixels_are_those_of_the_moving_square(bank):
    medians, task = median_pictures(bank.images, [bank.tasks[episode] for episode in bank.episode_of_frame()])
    salient = salient_pixels(torch.from_numpy(bank.images), medians[task])
    assert salient[:, 12:20].any()
    assert not salient[:, :12].any() and not salient[:, 20:].any()
    assert not salient.all()


def test_each_task_has_a_median_picture_of_its_own():
    images = np.repeat(np.array([10, 200, 12, 14, 202], np.uint8), 3 * 4).reshape(5, 2, 2, 3)
    medians, task = median_pictures(images, ["b", "a", "b", "b", "a"])
    assert task.tolist() == [1, 0, 1, 1, 0] and medians[:, 0, 0, 0].tolist() == [201, 12]


def test_frames_are_spread_over_all_there_are():
    assert spread(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert np.bincount(spread(1000, 100) // 100).tolist() == [10] * 10


def test_latents_of_an_episode_do_not_depend_on_the_others(model, bank):
    latents = bank_latents(model.autoencoder, bank)
    assert latents.dtype == np.float16
    few = bank.select(np.array([4, 1]))
    np.testing.assert_array_equal(bank_latents(model.autoencoder, few)[: few.lengths[0]], latents[bank.frames_of(4)])
    with torch.no_grad():
        exact = model.autoencoder.encode(torch.from_numpy(bank.images)).numpy()
    # Encoded in bfloat16, whose numbers have eight bits.
    np.testing.assert_allclose(latents, exact, atol=0.1)
    assert np.abs(latents - exact).mean() < 0.02
    long = np.concatenate([bank.images] * 2)
    assert len(episode_latents(model.autoencoder, long)) == len(long) > 64


def test_a_digest_names_weights_and_statistics(model, bank):
    restored = WorldModel.from_bytes(model.config, model.to_bytes()).autoencoder
    assert autoencoder_digest(restored) == model.config["autoencoder"]["digest"]
    restored.latent_mean[0, 0] += 1
    assert autoencoder_digest(restored) != model.config["autoencoder"]["digest"]


def test_every_input_of_the_transformer_matters(model, bank):
    """Also each action for its own frame and those after; a change of the last action alone is seen."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.dynamics.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    size = model.autoencoder.latent_size
    inputs = {
        "noisy": torch.randn(1, FRAMES, 4, size, size),
        "sigma": torch.tensor([0.6]),
        "context": torch.randn(1, 3, 4, size, size),
        "context_sigma": torch.tensor([0.1]),
        "actions": torch.randn(1, CHUNK, 7),
        "travelled": torch.randn(1, 7),
        "body": torch.randn(1, 1 + FRAMES, 4, size, size),
        "poses": torch.randn(1, 1 + FRAMES, model.config["embodiment"]["proprio_dim"]),
        "scene": torch.randn(1, SCENE),
    }
    with torch.no_grad():
        output = model.denoise(**inputs)
        assert output.shape == inputs["noisy"].shape
        unknown = model.denoise(**inputs | {"poses": inputs["poses"] * float("nan")})
        assert unknown.isfinite().all() and not torch.allclose(output, unknown)
        for name in inputs:
            changed = inputs | {name: inputs[name] * 0.5}
            assert not torch.allclose(output, model.denoise(**changed)), name
        last = inputs["actions"].clone()
        last[:, -1] += 1
        moved = (model.denoise(**inputs | {"actions": last}) - output).abs().mean((0, 2, 3, 4))
        assert moved.argmax() == FRAMES - 1
        for landmarks in ("success_points", "embodiment.kinematics.contact.grasp_points"):
            told = copy.deepcopy(model)
            told.get_submodule(landmarks).is_known.logical_not_()
            assert not torch.allclose(output, told.denoise(**inputs)), landmarks


def test_what_is_almost_done_is_worth_much_less_than_what_is_done():
    progress = np.array([0.0, 0.5, 0.99, 1.0], np.float32)
    assert worth(progress).tolist() == pytest.approx([0.0, 0.3, 0.594, 1.0]) and worth(progress).dtype == np.float32


def test_reward_head_gives_one_scalar_a_frame(model):
    size = model.autoencoder.latent_size
    latents = torch.randn(2, FRAMES, 4, size, size)
    assert model.reward_head(latents, latents[:, 0]).shape == (2, FRAMES)


def untrained(architecture, bank):
    autoencoder = FrameAutoencoder(autoencoder_config(architecture))
    body = Embodiment(embodiment_config(autoencoder, bank.proprio.shape[1], bank.actions.shape[1], IMAGE_SIZE, 1))
    return assemble(autoencoder, body, architecture, CHUNK)


def test_the_reward_head_judges_as_many_places_of_finer_latents(bank):
    architecture = toy_architecture()
    finer = architecture.model_copy(
        update={"autoencoder": architecture.autoencoder.model_copy(update={"patch": 1}), "image_size": 32}
    )
    model = untrained(finer, bank)
    assert model.autoencoder.latent_size == 16
    latents = torch.randn(2, 4, 16, 16)
    places = model.reward_head.judgement(torch.cat([latents, latents], dim=1))
    assert places.shape[2:] == (8, 8)
    assert untrained(architecture, bank).config["reward_stride"] == 1


def test_sizes_that_do_not_fold_are_refused():
    architecture = toy_architecture().model_copy(update={"image_size": 36})
    with pytest.raises(UserError, match="image_size 36"):
        autoencoder_config(architecture)


def test_config_is_json(model):
    assert isinstance(model.config["autoencoder"]["channels"], list)
    assert np.isscalar(model.config["embodiment"]["action_dim"])
