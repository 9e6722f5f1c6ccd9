"""The policy: supervised fine-tuning, start states, and GRPO inside the world model."""

from functools import partial

import dagster as dg
import polars as pl

from assets.metadata import line_plot, table
from assets.publication import Content, Step, loop_asset
from assets.sans import sans_rows, training_rows
from assets.trained import model_metadata, store, tracked
from worldvla.episodes.episode import Source
from worldvla.lake.digests import rows_version
from worldvla.lake.episodes import episode_rows, load_bank, load_images, write_set
from worldvla.lake.models import Model, read_membership, read_model
from worldvla.partitions import iteration_key


def base_policy(step: Step) -> Content:
    """The policy that the loop improves: supervised fine-tuning on demonstrations, own and imported."""
    from worldvla.policy.sft import fine_tune

    config, version = step.config, step.parents["demonstrations"]
    rows = training_rows(step, "demonstrations")
    if imported := step.members("imported_demonstrations"):
        rows = pl.concat([rows, training_rows(step, "imported_demonstrations")]).sort("episode_id")
        version = write_set(step.lake, [*step.members("demonstrations"), *imported], step.commit)
    members = [(episode, "success") for episode in rows["episode_id"]]
    with tracked(step, "episodes", version, len(rows)) as run:
        bank = load_bank(step.lake, rows["episode_id"].to_list(), config.policy.image_size)
        policy = fine_tune(bank, config.policy, config.scene.chunk, config.seed, step.checkpoints, run.log)
        model_id = store(step, run, policy, {}, members, version)
        metadata = model_metadata(run, model_id, len(rows))
    return Content(model_id, details={"episodes": len(rows), "frames": bank.frame_count}, metadata=metadata)


def keyframes(step: Step) -> Content:
    """Where imagined rollouts may start: first frames, and moments before a failure was closest to success."""
    from worldvla.rl.keyframes import choose

    sans = sans_rows(step, "train")
    episodes = episode_rows(step.lake, sans["episode_id"].to_list()).select("episode_id", "task", "length")
    rows = choose(
        sans.join(episodes, on="episode_id").sort("episode_id").to_dicts(),
        step.config.keyframes.lead,
        step.config.scene.chunk,
    )
    version = rows_version(rows)
    step.lake.insert("keyframes", [{"keyframes_version": version, **row} for row in rows], step.commit)
    counts = pl.DataFrame(rows).group_by("kind").len("keyframes").sort("kind").to_dicts()
    return Content(
        version,
        details={"rows": len(rows), "counts": counts},
        metadata={"by kind": table(counts)},
    )


def rl_policy(step: Step) -> Content:
    """The base policy, or with `rl.start: latest` that of the iteration before, after GRPO in this iteration's world
    model. Probes in the real simulator choose, as `rl.probe` says; nothing is learned from them.

    With `rl.method: supervised` the control: the same policy fine-tuned further on the same real episodes.
    """
    version = step.parents["keyframes"]
    rows = step.lake.frame("keyframes", where=f"keyframes_version = '{version}'").sort("episode_id", "step")
    return (_cloned if step.config.rl.method == "supervised" else _in_imagination)(step, rows)


def _in_imagination(step: Step, keyframes: pl.DataFrame) -> Content:
    from worldvla.alignment.judge import Judge
    from worldvla.policy.sft import ChunkSamples
    from worldvla.policy.vla import Policy
    from worldvla.rl.deployed import compare
    from worldvla.rl.probes import on_tuning_seeds, summary
    from worldvla.rl.starts import StartStates
    from worldvla.rl.training import train
    from worldvla.training.device import device
    from worldvla.world_model.model import WorldModel

    config, version = step.config, step.parents["keyframes"]
    base, imagined, judging = (
        read_model(step.lake, step.parents[parent]) for parent in ("base_policy", "world_model", "judge")
    )
    begun = begun_from(step)
    probe = config.rl.probe
    try_out = on_tuning_seeds(
        config.scene,
        config.evaluation.temperature,
        probe.per_task,
        config.execution.workers,
        # On the seeds that chose the last iteration's policy it is better than it is.
        first=int(step.iteration) * probe.per_task,
    )
    ids = keyframes["episode_id"].unique().sort().to_list()
    recalls = config.rl.cloning_weight or (probe.every and probe.hold_weight)
    successes = _successes(step, keyframes) if recalls else []
    with tracked(step, "keyframes", version, len(keyframes)) as run:
        bank = load_bank(step.lake, ids, image_size=None)
        policy = Policy.from_bytes(begun.config, begun.weights).to(device())
        samples = None
        if successes:
            samples = ChunkSamples(policy, load_bank(step.lake, successes, config.policy.image_size), config.policy)
        history, stride = config.world_model.transformer.history, config.world_model.frame_stride
        pictures = partial(load_images, step.lake, bank, image_size=config.world_model.image_size)
        result = train(
            policy,
            WorldModel.from_bytes(imagined.config, imagined.weights),
            StartStates.from_bank(bank, keyframes.to_dicts(), history, stride, config.keyframes.share, pictures),
            config.rl,
            config.imagination,
            Judge.from_bytes(judging.config, judging.weights).probabilities,
            chunk=config.scene.chunk,
            max_steps=config.scene.max_steps,
            seed=config.seed,
            checkpointer=step.checkpoints,
            log=run.log,
            samples=samples,
            base=Policy.from_bytes(base.config, base.weights),
            try_out=try_out,
            temperature=config.evaluation.temperature,
        )
        parents = policies_among_parents(base, begun)
        if result.kept:
            parents |= {"world_model": imagined.model_id}
            members = list((dict.fromkeys(ids, "start") | dict.fromkeys(successes, "success")).items())
        else:
            # Nothing that it learned here is left: these weights have learned from what taught the policy it began as.
            members, version = read_membership(step.lake, begun.model_id)
        model_id = store(step, run, result.policy, parents, members, version)
        metadata = model_metadata(run, model_id, len(members))
    curves = {
        "imagined success": [update["imagined_success"] for update in result.history],
        "as the judge sees it": [update["shown_success"] for update in result.history],
    }
    deployed, probes = compare(result.base, result.new), summary(result.probes)
    return Content(
        model_id,
        details={
            "history": result.history,
            "imagined": deployed,
            "starts": len(keyframes),
            "stopped": result.stopped,
            "probes": probes,
            "kept": result.kept,
        },
        metadata={
            **metadata,
            "imagined success": line_plot(curves, "GRPO update", "rate"),
            "imagined success as deployed": table(
                {"task": task, **_rates(told)} for task, told in deployed["tasks"].items()
            ),
            "stopped because it exploited the world model": (
                "the judge had a say in the reward" if result.stopped is None else result.stopped
            ),
            "real success on tuning seeds": table(map(_told, probes)),
            "kept after so many updates": result.kept,
        },
        real_steps=result.real_steps,
        imagined_steps=result.imagined_steps,
    )


def _rates(told: dict[str, dict]) -> dict[str, float]:
    both = [(policy, who) for who in ("reward", "judge") for policy in ("base", "new")]
    return {f"{policy}, by the {who}": told[who][policy]["rate"] for policy, who in both}


def _told(probe: dict) -> dict[str, float | str]:
    rates = {task: found["rate"] for task, found in probe["tasks"].items()}
    return {"updates": probe["update"], **rates, "resting": ", ".join(probe["resting"])}


def _cloned(step: Step, keyframes: pl.DataFrame) -> Content:
    """The control: no imagination."""
    from worldvla.policy.sft import fine_tune
    from worldvla.policy.vla import Policy

    config, version = step.config, step.parents["keyframes"]
    base, begun = read_model(step.lake, step.parents["base_policy"]), begun_from(step)
    ids = _successes(step, keyframes)
    with tracked(step, "keyframes", version, len(keyframes)) as run:
        bank = load_bank(step.lake, ids, config.policy.image_size)
        start = Policy.from_bytes(begun.config, begun.weights)
        policy = fine_tune(bank, config.policy, config.scene.chunk, config.seed, step.checkpoints, run.log, start)
        members = [(episode, "success") for episode in ids]
        model_id = store(step, run, policy, policies_among_parents(base, begun), members, version)
        metadata = model_metadata(run, model_id, len(ids))
    details = {
        "episodes": len(ids),
        "frames": bank.frame_count,
        "history": [],
        "imagined": None,
        "stopped": False,
        "probes": [],
    }
    return Content(model_id, details=details, metadata=metadata)


def begun_from(step: Step) -> Model:
    """The policy that this iteration improves."""
    number = int(step.iteration)
    if step.config.rl.start == "base" or not number:
        record = step.record("base_policy")
    else:
        record = step.record("rl_policy", iteration_key(number - 1))
    return read_model(step.lake, record.data_version)


def policies_among_parents(base: Model, begun: Model) -> dict[str, str]:
    """The policies among a policy's parents, by role."""
    begun_from = {} if begun.model_id == base.model_id else {"previous_policy": begun.model_id}
    return {"base_policy": base.model_id} | begun_from


def _successes(step: Step, keyframes: pl.DataFrame) -> list[str]:
    """Of the episodes that imagination starts from those that succeed, every training episode having a keyframe; but
    no blind replays, whose actions never answered what their pictures show."""
    rows = episode_rows(step.lake, keyframes["episode_id"].unique().sort().to_list())
    return rows.filter(pl.col("success"), pl.col("source") != Source.OPEN_LOOP)["episode_id"].to_list()


ASSETS: list[dg.AssetsDefinition] = [loop_asset(base_policy), loop_asset(keyframes), loop_asset(rl_policy)]
