"""The world model: pre-trained once a campaign in three parts, fine-tuned on each iteration's SANS.

All frames are held as latents, which are cached; pictures are decoded a few episodes at a time.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np

from assets.publication import Content, Step, loop_asset
from assets.sans import deciding_episodes, sans_rows, training_rows
from assets.trained import Trained, model_metadata, store, tracked
from worldvla.curation.sans import drawn_by
from worldvla.episodes.frame_bank import FrameBank
from worldvla.lake.episodes import load_bank, load_images
from worldvla.lake.latents import cached_latents
from worldvla.lake.models import read_model
from worldvla.training.progress import Log

if TYPE_CHECKING:
    from worldvla.world_model.autoencoder import FrameAutoencoder


def autoencoder(step: Step) -> Content:
    """Frames to latents and back, from scratch on the raw episodes of the training split: its loss is everyone's."""
    from worldvla.world_model.training import pretrain_autoencoder

    config = step.config

    def train(bank: FrameBank, log: Log) -> Trained:
        pictures = partial(load_images, step.lake, bank, image_size=config.world_model.image_size)
        return pretrain_autoencoder(
            bank, pictures, config.world_model, config.scene.chunk, config.seed, step.checkpoints, log
        )

    return _from_scratch(step, train)


def embodiment(step: Step) -> Content:
    """The robot's kinematics, what its fingers will hold, and its looks, from scratch on the same episodes.

    What lies where is told by the base policy's keypoints.
    """
    from worldvla.policy.vla import Policy
    from worldvla.world_model.training import pretrain_embodiment

    architecture, seed, seen_by = step.config.world_model, step.config.seed, _autoencoder(step)
    stored = read_model(step.lake, step.parents["base_policy"])
    sight = Policy.from_bytes(stored.config, stored.weights).sight()

    def train(bank: FrameBank, log: Log) -> Trained:
        latents = _latents(step, seen_by, bank)
        return pretrain_embodiment(seen_by, sight, bank, latents, architecture, seed, step.checkpoints, log)

    return _from_scratch(step, train, {part: step.parents[part] for part in ("base_policy", "autoencoder")})


def pretrained_world_model(step: Step) -> Content:
    """Autoencoder, embodiment, and dynamics with a reward head, trained from scratch on the same episodes."""
    from worldvla.world_model.embodiment import Embodiment
    from worldvla.world_model.training import pretrain_dynamics

    config, seen_by = step.config, _autoencoder(step)
    stored = read_model(step.lake, step.parents["embodiment"])
    body = Embodiment.from_bytes(stored.config, stored.weights)

    def train(bank: FrameBank, log: Log) -> Trained:
        latents, chunk = _latents(step, seen_by, bank), config.scene.chunk
        return pretrain_dynamics(
            seen_by, body, bank, latents, config.world_model, chunk, config.seed, step.checkpoints, log
        )

    return _from_scratch(step, train, {part: step.parents[part] for part in ("autoencoder", "embodiment")})


def world_model(step: Step) -> Content:
    """The pre-trained world model, fine-tuned on this iteration's SANS, which has what the last policies did.

    Which step's weights are kept, and what counts as success in them, is chosen on validation episodes.
    """
    from worldvla.alignment.calibration import calibrate, outcome_area
    from worldvla.world_model.model import WorldModel
    from worldvla.world_model.training import fine_tune

    config, version = step.config, step.parents["sans"]
    parent = read_model(step.lake, step.parents["pretrained_world_model"])
    rows = sans_rows(step, "train")
    members = list(rows.select("episode_id", "label").iter_rows())
    with tracked(step, "sans", version, len(rows)) as run:
        bank = load_bank(step.lake, rows["episode_id"].to_list(), image_size=None)
        chosen = deciding_episodes(step)
        pretrained = WorldModel.from_bytes(parent.config, parent.weights)
        validation = load_bank(step.lake, chosen, pretrained.image_size)
        model = fine_tune(
            pretrained,
            bank,
            _latents(step, pretrained.autoencoder, bank),
            drawn_by(rows, config.fine_tuning.sampling),
            config.world_model,
            config.fine_tuning,
            config.seed,
            step.checkpoints,
            run.log,
            partial(outcome_area, bank=validation, imagination=config.imagination, seed=config.seed)
            if chosen
            else None,
        )
        model.config["success_thresholds"] = calibrate(
            model, validation, {*config.scene.tasks, *bank.tasks}, config.imagination, config.seed
        )
        model_id = store(step, run, model, {"pretrained_world_model": parent.model_id}, members, version)
        metadata = model_metadata(run, model_id, len(rows))
    # Validation episodes are imagined whole each time that weights are scored, and once for the thresholds.
    times = 1 + math.ceil(config.fine_tuning.steps / config.fine_tuning.validate_every)
    return Content(
        model_id,
        details={"episodes": len(rows), "frames": bank.frame_count},
        metadata=metadata,
        imagined_steps=times * int((validation.lengths - 1).sum()),
    )


def _from_scratch(
    step: Step, train: Callable[[FrameBank, Log], Trained], parents: dict[str, str] | None = None
) -> Content:
    """What `train` makes of the raw episodes of the training split, whose bank holds no pictures; `parents` by role."""
    version, rows = step.parents["raw_episodes"], training_rows(step, "raw_episodes")
    members = list(zip(rows["episode_id"], rows["source"], strict=True))
    with tracked(step, "episodes", version, len(rows)) as run:
        bank = load_bank(step.lake, rows["episode_id"].to_list(), image_size=None)
        model_id = store(step, run, train(bank, run.log), parents or {}, members, version)
        metadata = model_metadata(run, model_id, len(rows))
    return Content(model_id, details={"episodes": len(rows), "frames": bank.frame_count}, metadata=metadata)


def _autoencoder(step: Step) -> "FrameAutoencoder":
    from worldvla.world_model.autoencoder import FrameAutoencoder

    stored = read_model(step.lake, step.parents["autoencoder"])
    return FrameAutoencoder.from_bytes(stored.config, stored.weights)


def _latents(step: Step, seen_by: "FrameAutoencoder", bank: FrameBank) -> np.ndarray:
    from worldvla.training.device import device
    from worldvla.world_model.autoencoder import episode_latents

    encode, size = partial(episode_latents, seen_by.to(device())), seen_by.image_size
    return cached_latents(step.lake, seen_by.config["digest"], bank, size, encode, step.commit)


ASSETS: list[dg.AssetsDefinition] = [
    loop_asset(made) for made in (autoencoder, embodiment, pretrained_world_model, world_model)
]
