"""The world model: pre-trained once a campaign, fine-tuned on each iteration's SANS."""

import dagster as dg

from assets.publication import Content, Step, loop_asset
from assets.sans import sans_rows, training_rows
from assets.trained import model_metadata, store, tracked
from worldvla.lake.episodes import episode_rows, load_bank
from worldvla.lake.models import read_model


def pretrained_world_model(step: Step) -> Content:
    """Autoencoder, video transformer and reward head, from scratch on the raw episodes of the training split."""
    from worldvla.world_model.training import pretrain

    config, version = step.config, step.parents["raw_episodes"]
    rows = training_rows(step, "raw_episodes")
    members = list(zip(rows["episode_id"], rows["source"], strict=True))
    with tracked(step, "episodes", version, len(rows)) as run:
        bank = load_bank(step.lake, rows["episode_id"].to_list(), config.world_model.image_size)
        model = pretrain(bank, config.world_model, config.scene.chunk, config.seed, step.checkpoints, run.log)
        model_id = store(step, run, model, {}, members, version)
        metadata = model_metadata(run, model_id, len(rows))
    return Content(model_id, details={"episodes": len(rows), "frames": bank.frame_count}, metadata=metadata)


def world_model(step: Step) -> Content:
    """The pre-trained world model, fine-tuned on this iteration's SANS, failures of the last policy included.

    What counts as success in it is calibrated on validation episodes.
    """
    from worldvla.alignment.calibration import calibrate
    from worldvla.alignment.selection import choose
    from worldvla.world_model.model import WorldModel
    from worldvla.world_model.training import fine_tune

    config, version = step.config, step.parents["sans"]
    parent = read_model(step.lake, step.parents["pretrained_world_model"])
    rows, unseen = sans_rows(step, "train"), sans_rows(step, "validation")
    members = list(rows.select("episode_id", "label").iter_rows())
    with tracked(step, "sans", version, len(rows)) as run:
        bank = load_bank(step.lake, rows["episode_id"].to_list(), config.world_model.image_size)
        model = fine_tune(
            WorldModel.from_bytes(parent.config, parent.weights),
            bank,
            rows["label"].to_list(),
            config.world_model,
            config.fine_tuning,
            config.seed,
            step.checkpoints,
            run.log,
        )
        candidates = episode_rows(step.lake, unseen["episode_id"].to_list())
        chosen = choose(candidates.iter_rows(named=True), config.fine_tuning.calibration_episodes)
        validation = load_bank(step.lake, chosen, config.world_model.image_size)
        model.config["success_thresholds"] = calibrate(model, validation, config.imagination, config.seed)
        model_id = store(step, run, model, {"pretrained_world_model": parent.model_id}, members, version)
        metadata = model_metadata(run, model_id, len(rows))
    return Content(model_id, details={"episodes": len(rows), "frames": bank.frame_count}, metadata=metadata)


ASSETS: list[dg.AssetsDefinition] = [loop_asset(pretrained_world_model), loop_asset(world_model)]
