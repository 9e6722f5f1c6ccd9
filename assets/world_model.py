"""The world model: pre-trained once a campaign, fine-tuned on each iteration's SANS.

All frames are held as latents, which are cached; pictures are decoded a few episodes at a time.
"""

from functools import partial
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np

from assets.publication import Content, Step, loop_asset
from assets.sans import sans_rows, training_rows
from assets.trained import model_metadata, store, tracked
from worldvla.curation.sans import drawn_by
from worldvla.episodes.frame_bank import FrameBank
from worldvla.lake.episodes import episode_rows, load_bank, load_images
from worldvla.lake.latents import cached_latents
from worldvla.lake.models import read_model

if TYPE_CHECKING:
    from worldvla.world_model.model import WorldModel


def pretrained_world_model(step: Step) -> Content:
    """All of a world model, from scratch on the raw episodes of the training split."""
    from worldvla.world_model.training import pretrain_autoencoder, pretrain_dynamics, pretrain_embodiment

    config, version = step.config, step.parents["raw_episodes"]
    rows = training_rows(step, "raw_episodes")
    members = list(zip(rows["episode_id"], rows["source"], strict=True))
    with tracked(step, "episodes", version, len(rows)) as run:
        architecture, seed, checkpoints = config.world_model, config.seed, step.checkpoints
        bank = load_bank(step.lake, rows["episode_id"].to_list(), image_size=None)
        pictures = partial(load_images, step.lake, bank, image_size=architecture.image_size)
        model = pretrain_autoencoder(bank, pictures, architecture, config.scene.chunk, seed, checkpoints, run.log)
        latents = _latents(step, model, bank)
        model = pretrain_embodiment(model, bank, latents, architecture, seed, checkpoints, run.log)
        model = pretrain_dynamics(model, bank, latents, architecture, seed, checkpoints, run.log)
        model_id = store(step, run, model, {}, members, version)
        metadata = model_metadata(run, model_id, len(rows))
    return Content(model_id, details={"episodes": len(rows), "frames": bank.frame_count}, metadata=metadata)


def world_model(step: Step) -> Content:
    """The pre-trained world model, fine-tuned on this iteration's SANS, failures of the last policy included.

    Which step's weights are kept, and what counts as success in them, is chosen on validation episodes.
    """
    from worldvla.alignment.calibration import calibrate, outcome_area
    from worldvla.alignment.selection import choose
    from worldvla.world_model.model import WorldModel
    from worldvla.world_model.training import fine_tune

    config, version = step.config, step.parents["sans"]
    parent = read_model(step.lake, step.parents["pretrained_world_model"])
    rows, unseen = sans_rows(step, "train"), sans_rows(step, "validation")
    members = list(rows.select("episode_id", "label").iter_rows())
    with tracked(step, "sans", version, len(rows)) as run:
        bank = load_bank(step.lake, rows["episode_id"].to_list(), image_size=None)
        candidates = episode_rows(step.lake, unseen["episode_id"].to_list())
        chosen = choose(candidates.iter_rows(named=True), config.fine_tuning.calibration_episodes)
        validation = load_bank(step.lake, chosen, config.world_model.image_size)
        pretrained = WorldModel.from_bytes(parent.config, parent.weights)
        model = fine_tune(
            pretrained,
            bank,
            _latents(step, pretrained, bank),
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
            model, validation, config.scene.tasks, config.imagination, config.seed
        )
        model_id = store(step, run, model, {"pretrained_world_model": parent.model_id}, members, version)
        metadata = model_metadata(run, model_id, len(rows))
    return Content(model_id, details={"episodes": len(rows), "frames": bank.frame_count}, metadata=metadata)


def _latents(step: Step, model: "WorldModel", bank: FrameBank) -> np.ndarray:
    from worldvla.training.device import device
    from worldvla.world_model.autoencoder import autoencoder_digest, episode_latents

    autoencoder = model.autoencoder.to(device())
    encode = partial(episode_latents, autoencoder)
    return cached_latents(step.lake, autoencoder_digest(autoencoder), bank, model.image_size, encode, step.commit)


ASSETS: list[dg.AssetsDefinition] = [loop_asset(pretrained_world_model), loop_asset(world_model)]
