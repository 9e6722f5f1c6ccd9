"""Small synthetic data of the loop's real shapes: made in milliseconds, the same bytes for the same arguments."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from worldvla.alignment.intervals import comparison
from worldvla.episodes.episode import Episode, Source
from worldvla.episodes.images import encode_image
from worldvla.lake.commit import Commit
from worldvla.lake.digests import digest, rows_version
from worldvla.lake.episodes import episode_rows, write_episodes, write_set
from worldvla.lake.materializations import Materialization, publish
from worldvla.lake.models import write_membership, write_model
from worldvla.lake.store import Lake

CAMPAIGN = "demo"
PROTOCOL = {"split": "heldout", "temperature": 0.0}
THRESHOLD = 0.5
BEGINNING = datetime(2026, 11, 1, tzinfo=UTC)


def synthetic_episode(
    seed: int,
    length: int = 8,
    success: bool = True,
    best_progress: float | None = None,
    source: Source = Source.EXPERT,
    actor: str = "expert-1",
    task: str = "PushCube-v1",
    size: int = 16,
    images: bool = True,
) -> Episode:
    """An episode of `length` actions whose progress rises to `best_progress` (default 1, or 0.7 if it fails).

    A success is reached in the last state. Images are `size` pixels a side, a square moving over noise.
    """
    generator = np.random.default_rng(seed)
    best = best_progress if best_progress is not None else (1.0 if success else 0.7)
    reward = np.zeros(length + 1, np.float32)
    reward[-1] = float(success)
    return Episode(
        suite="synthetic",
        task=task,
        instruction=f"do {task}",
        seed=seed,
        source=source,
        actor=actor,
        images=[_picture(generator, step / length, size) for step in range(length + 1)] if images else [],
        proprio=generator.standard_normal((length + 1, 5)).astype(np.float32),
        actions=generator.uniform(-1, 1, (length, 7)).astype(np.float32),
        reward=reward,
        progress=np.linspace(0, best, length + 1).astype(np.float32),
        initial_state=generator.standard_normal(6),
    )


def seldom_drawn(episode: Episode, stride: int) -> Episode:
    """The same episode as a camera has it that draws every `stride`-th state alone."""
    images = [b"" if step % stride else image for step, image in enumerate(episode.images)]
    return replace(episode, images=images, settings=episode.settings | {"camera_stride": stride})


def synthetic_lake(root: Path) -> Lake:
    """A lake after two iterations of campaign `demo`, the second fed with the failures of the first.

    Iteration 0: the new policy fails 3 of 6 rollouts. Iteration 1: trained with those failures, it fails 1 of 6.
    """
    return _Loop(Lake(root)).run()


class _Loop:
    """Publishes every node in order, with an invented clock."""

    def __init__(self, lake: Lake):
        self.lake = lake
        self.versions: dict[tuple[str, str], str] = {}
        self.ticks = 0

    def run(self) -> Lake:
        self.episodes("demonstrations", "", [synthetic_episode(seed) for seed in range(4)])
        perturbed = [
            synthetic_episode(10 + i, success=False, best_progress=best, source=Source.PERTURBED)
            for i, best in enumerate((0.8, 0.2))
        ]
        self.episodes("perturbed_demonstrations", "", perturbed)
        base = self.model("base_policy", "", {}, "demonstrations")
        self.episodes("exploration_rollouts", "", _rollouts(20, base, (True, False, False)), ("base_policy",))
        self.episodes("open_loop_replays", "", [], ("demonstrations", "exploration_rollouts"))
        parts = ("demonstrations", "perturbed_demonstrations", "exploration_rollouts", "open_loop_replays")
        ids = [episode for part in parts for episode in self.members(self.versions[part, ""])]
        self.publish("raw_episodes", "", write_set(self.lake, ids, self.commit("raw_episodes", "")), parts)
        trained: dict[str, str] = {}
        for stage in ("autoencoder", "embodiment", "pretrained_world_model"):
            trained[stage] = self.model(stage, "", dict(trained), "raw_episodes")
        for iteration, outcomes in (
            ("0000", (True, False, True, False, True, False)),
            ("0001", (True,) * 5 + (False,)),
        ):
            self.iteration(iteration, outcomes)
        return self.lake

    def iteration(self, iteration: str, outcomes: tuple[bool, ...]) -> None:
        self.sans(iteration)
        pretrained = self.versions["pretrained_world_model", ""]
        world_model = self.model("world_model", iteration, {"pretrained_world_model": pretrained}, "sans")
        self.alignment(iteration, world_model)
        self.keyframes(iteration)
        base = self.versions["base_policy", ""]
        parents = {"base_policy": base, "world_model": world_model}
        policy = self.model("rl_policy", iteration, parents, "keyframes", imagined_steps=4096)
        self.evaluation(iteration, base, policy, better=int(iteration) + 1)
        rollouts = _rollouts(100 * (int(iteration) + 1), policy, outcomes)
        self.episodes("policy_rollouts", iteration, rollouts, ("rl_policy",))
        failed = [episode.episode_id for episode in rollouts if not episode.success]
        version = write_set(self.lake, failed, self.commit("failure_rollouts", iteration))
        self.publish("failure_rollouts", iteration, version, ("policy_rollouts",))

    def episodes(self, asset: str, iteration: str, made: list[Episode], parents: tuple[str, ...] = ()) -> None:
        commit = self.commit(asset, iteration)
        version = write_set(self.lake, write_episodes(self.lake, made, commit), commit)
        self.publish(asset, iteration, version, parents, real_steps=sum(episode.length for episode in made))

    def sans(self, iteration: str) -> None:
        origins = {
            episode: (part, None)
            for part in ("demonstrations", "perturbed_demonstrations", "exploration_rollouts")
            for episode in self.members(self.versions[part, ""])
        }
        for number in range(int(iteration)):
            earlier = f"{number:04d}"
            for episode in self.members(self.versions["policy_rollouts", earlier]):
                origins[episode] = ("feedback", earlier)
        rows = [_sans_row(row, *origins[row["episode_id"]]) for row in self.rows(origins)]
        version = rows_version(rows)
        self.lake.insert("sans", [{"sans_version": version, **row} for row in rows], self.commit("sans", iteration))
        self.publish("sans", iteration, version, ("raw_episodes",), {"rows": len(rows)})

    def model(
        self, kind: str, iteration: str, parents: dict[str, str], trained_on: str, imagined_steps: int = 0
    ) -> str:
        scope = iteration if (trained_on, iteration) in self.versions else ""
        version, commit = self.versions[trained_on, scope], self.commit(kind, iteration)
        where = f"{trained_on}_version = '{version}'"
        if trained_on == "sans":
            table = self.lake.frame("sans", ["episode_id", "label"], where).sort("episode_id")
            ids, labels = table["episode_id"].to_list(), table["label"].to_list()
        elif trained_on == "keyframes":
            ids = self.lake.frame("keyframes", ["episode_id"], where)["episode_id"].unique().sort().to_list()
            labels = ["start"] * len(ids)
        else:
            ids = self.members(version)
            labels = [row["source"] for row in self.rows(ids)]
        weights = f"{kind} {iteration}".encode()
        model_id = write_model(self.lake, kind, {"width": 8}, weights, parents, {"loss": 0.5}, None, None, commit)
        write_membership(self.lake, model_id, ids, labels, version, commit)
        self.publish(kind, iteration, model_id, (trained_on, *parents), imagined_steps=imagined_steps)
        return model_id

    def alignment(self, iteration: str, world_model: str) -> None:
        rows = [
            {
                "model_id": world_model,
                "episode_id": row["episode_id"],
                "task": row["task"],
                "protocol": digest(PROTOCOL),
                "true_success": row["success"],
                "judged_success_imagined": row["success"] == (number != 1),
                "judged_success_real": row["success"],
                "reward_success": row["success"] == (number != 2),
                "psnr_last": 20.0 + number,
                "psnr": 22.0 + number,
                "ssim": 0.75,
                "flip": 0.125,
                "reward_curve": [0.0, 0.5],
                "strip": b"png",
            }
            for number, row in enumerate(self.rows(self.members(self.versions["raw_episodes", ""])))
        ]
        version, commit = rows_version(rows), self.commit("alignment", iteration)
        self.lake.insert("alignments", [{"alignment_version": version, **row} for row in rows], commit)
        failure = "PSNR at the last step is 24.0 dB, below 25.0" if iteration == "0001" else None
        self.publish("alignment", iteration, version, ("world_model", "sans"), {"rows": len(rows)}, failure)

    def keyframes(self, iteration: str) -> None:
        version = self.versions["sans", iteration]
        failed = self.lake.frame("sans", ["episode_id"], f"sans_version = '{version}' AND label <> 'success'")
        rows = [
            {"episode_id": episode, "step": 4, "kind": "near_failure", "task": "PushCube-v1"}
            for episode in failed["episode_id"].sort()
        ]
        version, commit = rows_version(rows), self.commit("keyframes", iteration)
        self.lake.insert("keyframes", [{"keyframes_version": version, **row} for row in rows], commit)
        self.publish("keyframes", iteration, version, ("sans",), {"rows": len(rows)})

    def evaluation(self, iteration: str, base: str, policy: str, better: int) -> None:
        successes = {base: 4, policy: 4 + 2 * better}
        rows = [
            {
                "policy_id": one,
                "protocol": digest(PROTOCOL),
                "task": "PushCube-v1",
                "seed": 1000 + seed,
                "initial_state_digest": digest(seed),
                "success": (seed + (one == policy)) % 10 < successes[one],
                "steps": 8,
                "best_progress": 0.5,
            }
            for one in (base, policy)
            for seed in range(10)
        ]
        self.lake.insert("evaluations", rows, self.commit("evaluation", iteration))
        outcomes = ([row["success"] for row in rows if row["policy_id"] == one] for one in (base, policy))
        compared = comparison(*outcomes)
        details = {
            "protocol": PROTOCOL,
            **compared,
            "tasks": {"PushCube-v1": compared},
            "exploitation": {"imagined_gain": 0.5, "exploited": better < 2},
        }
        self.publish("evaluation", iteration, rows_version(rows), ("rl_policy", "base_policy"), details, real_steps=160)

    def publish(
        self,
        asset: str,
        iteration: str,
        version: str,
        parents: tuple[str, ...] = (),
        details: dict[str, Any] | None = None,
        blocking_failure: str | None = None,
        real_steps: int = 0,
        imagined_steps: int = 0,
    ) -> None:
        self.versions[asset, iteration] = version
        read = {one: self.versions.get((one, iteration)) or self.versions[one, ""] for one in parents}
        self.ticks += 1
        record = Materialization(
            asset=asset,
            campaign=CAMPAIGN,
            iteration=iteration,
            data_version=version,
            code_version="1",
            config_digest="",
            parents=read,
            fingerprint=digest([asset, iteration, read]),
            run_id="run",
            details=details or {},
            blocking_failure=blocking_failure,
            materialized_at=BEGINNING + timedelta(minutes=self.ticks),
            seconds=1.0,
            real_steps=real_steps,
            imagined_steps=imagined_steps,
        )
        publish(self.lake, record, self.commit(asset, iteration))

    def members(self, version: str) -> list[str]:
        table = self.lake.frame("episode_sets", where=f"set_version = '{version}'").sort("position")
        return table["episode_id"].to_list()

    def rows(self, ids: Any) -> list[dict]:
        return episode_rows(self.lake, list(ids)).to_dicts()

    def commit(self, asset: str, iteration: str) -> Commit:
        return Commit("run", asset, CAMPAIGN, iteration, "1")


def _rollouts(first_seed: int, policy: str, outcomes: tuple[bool, ...]) -> list[Episode]:
    """One rollout an outcome; failures come alternately near to success and not near."""
    return [
        synthetic_episode(
            first_seed + i,
            success=success,
            best_progress=None if success else 0.8 if i % 4 == 1 else 0.3,
            source=Source.POLICY,
            actor=policy,
        )
        for i, success in enumerate(outcomes)
    ]


def _sans_row(row: dict, origin: str, origin_iteration: str | None) -> dict:
    near = row["best_progress"] >= THRESHOLD
    label = "success" if row["success"] else "near_success" if near else "failure"
    return {
        "episode_id": row["episode_id"],
        "split": "train",
        "label": label,
        "rule": f"{label}: best progress {row['best_progress']:.3f}",
        "success_frames": row["success_frames"],
        "best_progress": row["best_progress"],
        "best_progress_step": row["best_progress_step"],
        "final_progress": row["final_progress"],
        "threshold": THRESHOLD,
        "origin": origin,
        "origin_iteration": origin_iteration,
        "policy_id": row["policy_id"],
    }


def _picture(generator: np.random.Generator, position: float, size: int) -> bytes:
    image = generator.integers(0, 32, (size, size, 3), dtype=np.uint8)
    column = int(position * (size - 4))
    image[4:8, column : column + 4] = (200, 40, 40)
    return encode_image(image)
