"""Alignment: does the world model say what would really have happened, and well enough to train a policy in."""

import dagster as dg

from assets.checks import Check
from assets.metadata import picture, table
from assets.publication import Content, Step, loop_asset
from assets.sans import deciding_episodes, sans_rows, training_rows
from assets.trained import model_metadata, store, tracked
from worldvla.errors import UserError
from worldvla.lake.digests import rows_version
from worldvla.lake.episodes import episode_rows, load_bank
from worldvla.lake.models import read_model
from worldvla.lake.tables import TABLES


def judge(step: Step) -> Content:
    """A success classifier trained on real frames only: it tells what an imagined video shows."""
    from worldvla.alignment.judge import train

    config, version = step.config, step.parents["raw_episodes"]
    rows = training_rows(step, "raw_episodes")
    members = list(zip(rows["episode_id"], rows["source"], strict=True))
    with tracked(step, "episodes", version, len(rows)) as run:
        bank = load_bank(step.lake, rows["episode_id"].to_list(), config.world_model.image_size)
        model = train(bank, config.judge, config.world_model.image_size, config.seed, step.checkpoints, run.log)
        model_id = store(step, run, model, {}, members, version)
        metadata = model_metadata(run, model_id, len(rows))
    return Content(model_id, details={"episodes": len(rows), "frames": bank.frame_count}, metadata=metadata)


def alignment(step: Step) -> Content:
    """Held-out episodes replayed in the world model from their first frame; the gate before any policy trains.

    From where on the judge sees success in what is imagined is chosen on validation episodes.
    """
    from worldvla.alignment.calibration import calibrate_judge
    from worldvla.alignment.gate import check
    from worldvla.alignment.judge import Judge
    from worldvla.alignment.protocol import protocol
    from worldvla.alignment.replay import replay
    from worldvla.alignment.selection import choose
    from worldvla.alignment.summary import summarize
    from worldvla.world_model.model import WorldModel

    config = step.config
    model = read_model(step.lake, step.parents["world_model"])
    judging = read_model(step.lake, step.parents["judge"])
    heldout = sans_rows(step, "heldout")
    episodes = episode_rows(step.lake, heldout["episode_id"].to_list())
    chosen = choose(episodes.iter_rows(named=True), config.alignment.episodes)
    if not chosen:
        raise UserError(
            "alignment: no task has both a success and a failure among its held-out episodes; "
            "raise demonstrations.per_task, perturbed.per_task or curation.heldout"
        )
    image_size, stride = config.world_model.image_size, config.world_model.frame_stride
    conditions = protocol(
        config.imagination, image_size, config.scene.chunk, stride, judging.model_id, chosen, config.seed
    )
    world = WorldModel.from_bytes(model.config, model.weights)
    judge = Judge.from_bytes(judging.config, judging.weights)
    deciding = load_bank(step.lake, deciding_episodes(step), image_size)
    threshold = calibrate_judge(world, judge, deciding, config.imagination, config.seed)
    bank = load_bank(step.lake, chosen, image_size)
    rows = replay(world, judge, bank, config.imagination, config.seed, threshold)
    rows = [{"model_id": model.model_id, "protocol": conditions["digest"], **row} for row in rows]
    # Pictures are drawn from the other columns; an encoder's bytes are no content.
    drawn = TABLES["alignments"].heavy
    version = rows_version({name: value for name, value in row.items() if name not in drawn} for row in rows)
    step.lake.insert("alignments", [{"alignment_version": version, **row} for row in rows], step.commit)
    summary = summarize(rows)
    failures = check(summary, config.alignment.gate)
    return Content(
        version,
        details={"rows": len(rows), "protocol": conditions, "summary": summary},
        metadata=pictures(rows, summary),
        checks=(Check("gate", not failures, "; ".join(failures) or "every threshold is reached", gate=True),),
        imagined_steps=int((bank.lengths - 1).sum() + (deciding.lengths - 1).sum()),
    )


def pictures(rows: list[dict], summary: dict) -> dict[str, dg.MetadataValue]:
    """The figures as a table, the curves over the horizon, and some strips of real against imagined frames."""
    from worldvla.alignment.plots import horizon

    told = [
        {"figure": name, **{key: summary[name][key] for key in ("successes", "n", "rate", "low", "high")}}
        for name in ("visual_alignment", "reward_alignment", "judge_accuracy_real")
    ]
    strips = [row for row in rows if row.get("strip")]
    return {
        "alignment": table(told),
        "over the horizon": picture(horizon(summary), "PSNR and alignment over the horizon"),
        **{f"strip {n}": picture(row["strip"], "real above imagined") for n, row in enumerate(strips)},
    }


ASSETS: list[dg.AssetsDefinition] = [loop_asset(judge), loop_asset(alignment, checks=("gate",))]
