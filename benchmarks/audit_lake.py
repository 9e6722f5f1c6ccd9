"""A lake as a year of nights leaves it, without pictures: written as Arrow tables, one Lance version an iteration.

Every iteration's policy records episodes, half of them fail, SANS is drawn from all earlier
failures, and a world model and a policy are trained on 10,000 episodes each. Tables of
append-only facts stand in few fragments, as compaction leaves them.
"""

import binascii
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from worldvla import campaigns
from worldvla.alignment.intervals import comparison
from worldvla.lake.commit import Commit
from worldvla.lake.digests import canonical_json, digest, set_version
from worldvla.lake.store import Lake
from worldvla.lake.tables import TABLES
from worldvla.partitions import iteration_key
from worldvla.planner.feedback import NOTHING, extend
from worldvla.planner.fingerprints import config_digest
from worldvla.planner.graph import GRAPH, NODES

CAMPAIGN = "demo"
MEMBERSHIP = 10_000
RAW = 10_000
ALIGNED, EVALUATED, CURVE = 100, 200, 50
TASKS = ("PushCube-v1", "PullCube-v1", "StackCube-v1", "PokeCube-v1", "PlaceSphere-v1")
PROTOCOL = {"suite": "maniskill_tabletop", "max_steps": 50, "chunk": 5, "temperature": 0.0, "split": "heldout"}
SOURCES = {
    "demonstrations": "expert",
    "perturbed_demonstrations": "perturbed",
    "open_loop_replays": "open_loop",
    "imported_episodes": "import",
}
IMPORT, IN_A_FILE = "kitchen", 50
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def build(lake: Lake, episodes: int, iterations: int) -> None:
    """Fills an empty lake with `episodes` in all and `iterations` of campaign `demo`."""
    _Nights(lake, episodes, iterations).run()


class _Nights:
    def __init__(self, lake: Lake, episodes: int, iterations: int) -> None:
        self.lake = lake
        self.iterations = iterations
        self.raw = min(RAW, episodes // 2)
        self.rollouts = (episodes - self.raw) // iterations
        self.random = np.random.default_rng(0)
        self.config = campaigns.load(CAMPAIGN)
        self.versions: dict[tuple[str, str], str] = {}
        self.successes: dict[str, np.ndarray] = {}
        self.now = BEGINNING
        # All episodes so far, by row number: what the later tables sample from.
        self.ids = pa.array([], pa.string())
        self.contents = pa.array([], pa.string())
        self.success = np.zeros(0, bool)
        self.task = np.zeros(0, np.int64)
        self.policy = pa.array([], pa.string())
        self.night = np.zeros(0, np.int64)

    def run(self) -> None:
        counts = {"demonstrations": self.raw // 5, "perturbed_demonstrations": self.raw // 10}
        counts["imported_episodes"] = self.raw // 10
        parts = {asset: self.record(asset, "", count, None) for asset, count in counts.items()}
        self.imports(parts["imported_episodes"])
        self.publish("imported_demonstrations", "", self.members("imported_demonstrations", "", np.zeros(0, np.int64)))
        base = self.model("base_policy", "", {}, parts["demonstrations"], "expert", "demonstrations")
        replayed = self.raw // 10
        left = self.raw - sum(counts.values()) - replayed
        parts["exploration_rollouts"] = self.record("exploration_rollouts", "", left, base)
        parts["open_loop_replays"] = self.record("open_loop_replays", "", replayed, None)
        raw = np.concatenate(list(parts.values()))
        self.aligned = self.some(raw, ALIGNED)
        self.publish("raw_episodes", "", self.members("raw_episodes", "", raw))
        stages: dict[str, str] = {}
        for stage in ("autoencoder", "embodiment", "pretrained_world_model"):
            stages[stage] = self.model(stage, "", dict(stages), raw, "expert", "raw_episodes")
        pretrained = stages["pretrained_world_model"]
        self.model("judge", "", {}, raw, "expert", "raw_episodes")
        failures = np.zeros(0, np.int64)
        incoming = {node.name: (node.feedback_from, NOTHING) for node in NODES if node.feedback_from}
        for number in range(self.iterations):
            iteration = iteration_key(number)
            for edge, (_, version) in incoming.items():
                self.versions[edge, iteration] = version
            failed = self.iteration(iteration, raw, failures, base, pretrained)
            failures = np.concatenate([failures, failed])
            incoming = {
                edge: (source, extend(version, self.versions[source, iteration]))
                for edge, (source, version) in incoming.items()
            }

    def iteration(
        self, iteration: str, raw: np.ndarray, failures: np.ndarray, base: str, pretrained: str
    ) -> np.ndarray:
        mixed = np.concatenate([self.some(raw, 3000), self.some(failures, 9500)]) if len(failures) else raw
        train = np.sort(self.some(mixed, min(MEMBERSHIP, len(mixed) * 4 // 5)))
        labels = self.sans(iteration, mixed, train)
        parents = {"pretrained_world_model": pretrained}
        world_model = self.model("world_model", iteration, parents, train, labels, "sans")
        self.alignment(iteration, world_model)
        keyframes = self.versions["keyframes", iteration] = self.version()
        starts = pa.table({"episode_id": self.ids.take(pa.array(train))})
        self.write(
            "keyframes",
            starts,
            "keyframes",
            iteration,
            keyframes_version=keyframes,
            step=4,
            kind="start",
            task=TASKS[0],
        )
        self.publish("keyframes", iteration, keyframes, {"rows": len(train)})
        parents = {"base_policy": base, "world_model": world_model}
        policy = self.model("rl_policy", iteration, parents, train, "start", "keyframes")
        self.evaluation(iteration, base, policy)
        rolled = self.record("policy_rollouts", iteration, self.rollouts, policy)
        failed = rolled[~self.success[rolled]]
        self.publish("failure_rollouts", iteration, self.members("failure_rollouts", iteration, failed))
        self.vector(iteration)
        return failed

    def record(self, asset: str, iteration: str, count: int, policy: str | None) -> np.ndarray:
        """Episodes of a new set; returns their row numbers."""
        first = len(self.ids)
        rows = np.arange(first, first + count)
        success = self.random.random(count) < (0.5 if policy else asset == "demonstrations")
        task = self.random.integers(0, len(TASKS), count)
        best = np.where(success, 1.0, self.random.random(count) * 0.9).astype(np.float32)
        self.ids = pa.concat_arrays([self.ids, _hexadecimal(self.random, count)])
        self.contents = pa.concat_arrays([self.contents, _hexadecimal(self.random, count)])
        self.success = np.concatenate([self.success, success])
        self.task = np.concatenate([self.task, task])
        self.policy = pa.concat_arrays([self.policy, pa.array([policy] * count, pa.string())])
        self.night = np.concatenate([self.night, np.full(count, int(iteration or -1))])
        tasks = pa.array(TASKS).take(pa.array(task))
        table = pa.table(
            {
                "episode_id": self.ids.slice(first),
                "content_digest": self.contents.slice(first),
                "task": tasks,
                "instruction": pc.binary_join_element_wise(pa.scalar("do"), tasks, " "),
                "seed": rows,
                "policy_id": self.policy.slice(first),
                "initial_state_digest": _hexadecimal(self.random, count),
                "initial_state": _lists(self.random.random((count, 13)), pa.float64()),
                "success": success,
                "success_frames": success.astype(np.int32),
                "final_success": success,
                "final_progress": best,
                "best_progress": best,
            }
        )
        source = "policy" if policy else SOURCES[asset]
        self.write(
            "episodes",
            table,
            asset,
            iteration,
            suite=PROTOCOL["suite"],
            source=source,
            actor=policy or source,
            settings=canonical_json({"temperature": 1.0}),
            length=CURVE,
            best_progress_step=CURVE,
        )
        self.publish(asset, iteration, self.members(asset, iteration, rows), real_steps=count * CURVE)
        return rows

    def imports(self, rows: np.ndarray) -> None:
        files = [f"data/chunk-000/file-{row // IN_A_FILE:03d}.parquet" for row in rows.tolist()]
        table = pa.table(
            {
                "record_id": _hexadecimal(self.random, len(rows)),
                "episode_id": self.ids.take(pa.array(rows)),
                "file": files,
                "record": pa.array(rows).cast(pa.string()),
                "files": [canonical_json({file: digest(file) * 2}) for file in files],
            }
        )
        self.write(
            "imports",
            table,
            "import",
            import_name=IMPORT,
            format="lerobot",
            path="/data/kitchen",
            mapping=canonical_json({"actions": "action"}),
            importer="1",
            imported_at=self.now,
        )

    def members(self, asset: str, iteration: str, rows: np.ndarray) -> str:
        ids = self.ids.take(pa.array(rows))
        version = set_version(zip(ids.to_pylist(), self.contents.take(pa.array(rows)).to_pylist(), strict=True))
        table = pa.table({"episode_id": ids, "position": np.arange(len(rows))})
        self.write("episode_sets", table, asset, iteration, set_version=version)
        return version

    def sans(self, iteration: str, mixed: np.ndarray, train: np.ndarray) -> pa.Array:
        """Publishes SANS; returns the labels of the training episodes, in their order."""
        rows = np.sort(mixed)
        labels = pa.array(np.where(self.success[rows], "success", np.where(rows % 2, "near_success", "failure")))
        fed_back = self.night[rows] >= 0
        origins = np.where(
            fed_back, "feedback", np.where(rows < self.raw // 5, "demonstrations", "exploration_rollouts")
        )
        table = pa.table(
            {
                "episode_id": self.ids.take(pa.array(rows)),
                "split": np.where(np.isin(rows, train), "train", "heldout"),
                "label": labels,
                "rule": pc.binary_join_element_wise(labels, pa.scalar("best progress 0.123 < 0.500"), ": "),
                "best_progress": self.random.random(len(rows)).astype(np.float32),
                "origin": origins,
                "origin_iteration": pa.array(
                    [iteration_key(night) if night >= 0 else None for night in self.night[rows].tolist()]
                ),
                "policy_id": self.policy.take(pa.array(rows)),
            }
        )
        version = self.version()
        self.write("sans", table, "sans", iteration, sans_version=version, threshold=0.5)
        self.publish("sans", iteration, version, {"rows": len(rows)})
        return labels.filter(pa.array(np.isin(rows, train)))

    def model(
        self, kind: str, iteration: str, parents: dict[str, str], rows: np.ndarray, label: Any, trained_on: str
    ) -> str:
        model_id = self.version()
        scope = iteration if GRAPH[trained_on].scope == "iteration" else ""
        row = {"model_id": model_id, "kind": kind, "config": {"width": 8}, "weights": b"w" * 64, "parents": parents}
        self.lake.append("models", [row | {"metrics": {"loss": 0.5}}], Commit("run", kind, CAMPAIGN, iteration))
        table = pa.table({"episode_id": self.ids.take(pa.array(rows))})
        self.write(
            "training_membership",
            table,
            kind,
            iteration,
            model_id=model_id,
            label=label,
            set_version=self.versions[trained_on, scope],
            lance_version=self.lake.version("episodes"),
        )
        history = [{"imagined_success": 0.5, "loss": 0.1, "kl": 0.01}] * (50 if kind == "rl_policy" else 0)
        self.publish(kind, iteration, model_id, {"history": history}, imagined_steps=100_000)
        return model_id

    def alignment(self, iteration: str, world_model: str) -> None:
        rows = self.aligned
        right = self.random.random(len(rows)) < 0.7
        names = [name for name in TABLES["alignments"].schema.names if name.endswith("_curve")]
        curves = {name: _lists(self.random.random((len(rows), CURVE)), pa.float32()) for name in names}
        table = pa.table(
            {
                "episode_id": self.ids.take(pa.array(rows)),
                "true_success": self.success[rows],
                "judged_success_imagined": self.success[rows] == right,
                "judged_success_real": self.success[rows],
                "reward_success": self.success[rows] == right,
                "psnr_last": self.random.random(len(rows)) + 20,
                **curves,
            }
        )
        version = self.version()
        conditions = {"measurement": "alignment 1", "chunk": 5, "episodes": len(rows)}
        conditions["digest"] = digest(conditions)
        self.write(
            "alignments",
            table,
            "alignment",
            iteration,
            alignment_version=version,
            model_id=world_model,
            task=TASKS[0],
            protocol=conditions["digest"],
        )
        self.publish("alignment", iteration, version, {"rows": len(rows), "protocol": conditions})

    def evaluation(self, iteration: str, base: str, policy: str) -> None:
        for one in (base, policy) if iteration == iteration_key(0) else (policy,):
            self.successes[one] = self.random.random(EVALUATED) < 0.5
            table = pa.table(
                {
                    "seed": np.arange(1_000_000, 1_000_000 + EVALUATED),
                    "initial_state_digest": _hexadecimal(self.random, EVALUATED),
                    "success": self.successes[one],
                }
            )
            self.write(
                "evaluations",
                table,
                "evaluation",
                iteration,
                policy_id=one,
                protocol=digest(PROTOCOL),
                task=TASKS[0],
                steps=CURVE,
                best_progress=0.5,
            )
        compared = comparison(self.successes[base].tolist(), self.successes[policy].tolist())
        details = {"protocol": PROTOCOL, **compared, "tasks": {TASKS[0]: compared}}
        self.publish("evaluation", iteration, self.version(), details)

    def vector(self, iteration: str) -> None:
        versions = {parent: self.read(parent, iteration) for parent in GRAPH["iteration_record"].parents}
        row = {
            "campaign": CAMPAIGN,
            "iteration": iteration,
            "versions": versions,
            "tables": self.lake.versions(),
            "models": {name: version for name, version in versions.items() if name.endswith(("policy", "model"))},
            "committed_at": self.now,
        }
        self.lake.append("iterations", [row], Commit("run", "iteration_record", CAMPAIGN, iteration))
        self.publish("iteration_record", iteration, digest(versions))

    def publish(
        self,
        asset: str,
        iteration: str,
        version: str,
        details: dict[str, Any] | None = None,
        real_steps: int = 0,
        imagined_steps: int = 0,
    ) -> None:
        self.versions[asset, iteration] = version
        self.now += timedelta(minutes=1) if iteration else timedelta(seconds=1)
        row = {
            "asset": asset,
            "campaign": CAMPAIGN,
            "iteration": iteration,
            "data_version": version,
            "code_version": GRAPH[asset].code_version,
            "config_digest": config_digest(GRAPH[asset], self.config),
            "parents": {parent: self.read(parent, iteration) for parent in GRAPH[asset].parents},
            "fingerprint": digest([asset, iteration, version]),
            "details": details or {"episodes": 1},
            "run_id": "run",
            "materialized_at": self.now,
            "seconds": 1.0,
            "real_steps": real_steps,
            "imagined_steps": imagined_steps,
            "tables": {},
        }
        self.lake.append("materializations", [row], Commit("run", asset, CAMPAIGN, iteration))

    def read(self, parent: str, iteration: str) -> str:
        return self.versions[parent, iteration if GRAPH[parent].scope == "iteration" else ""]

    def write(self, name: str, table: pa.Table, asset: str, iteration: str = "", **constants: Any) -> None:
        """Appends rows: columns of `table`, `constants` the same in every row, null in the others."""
        columns = []
        for column in TABLES[name].schema:
            value = constants.get(column.name)
            if column.name in table.column_names:
                columns.append(table[column.name].cast(column.type))
            elif isinstance(value, pa.Array):
                columns.append(value.cast(column.type))
            elif value is None:
                columns.append(pa.nulls(len(table), column.type))
            else:
                columns.append(pa.repeat(pa.scalar(value, column.type), len(table)))
        rows = pa.Table.from_arrays(columns, schema=TABLES[name].schema)
        self.lake.append(name, rows, Commit("run", asset, CAMPAIGN, iteration))

    def some(self, rows: np.ndarray, count: int) -> np.ndarray:
        return self.random.choice(rows, min(count, len(rows)), replace=False)

    def version(self) -> str:
        return self.random.bytes(16).hex()


def _hexadecimal(random: np.random.Generator, count: int) -> pa.Array:
    """Random ids of 32 hexadecimal digits."""
    text = binascii.hexlify(random.bytes(16 * count))
    offsets = np.arange(0, 32 * (count + 1), 32, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text))


def _lists(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    """One list a row of a matrix."""
    offsets: Sequence[int] = range(0, values.size + 1, values.shape[1])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values.ravel(), kind))
