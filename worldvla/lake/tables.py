"""The tables of the lake: their columns and their keys.

Keys are declared to Lance as unenforced primary keys (non-null fields with the metadata
`lance-schema:unenforced-primary-key`); `worldvla.lake.store` is what enforces them. `JSON`
columns hold canonical JSON text, which DuckDB takes apart with `->>`.
"""

from dataclasses import dataclass

import lance
import pyarrow as pa

from worldvla.lake.digests import canonical_json

PRIMARY_KEY = {b"lance-schema:unenforced-primary-key": b"true"}

TEXT, FLAG, SINGLE, DOUBLE, SMALL, LARGE = (
    pa.string(),
    pa.bool_(),
    pa.float32(),
    pa.float64(),
    pa.int32(),
    pa.int64(),
)
CURVE = pa.list_(pa.float32())
NAMES = pa.list_(pa.string())
INSTANT = pa.timestamp("us", tz="UTC")
JSON = TEXT


@dataclass(frozen=True)
class Table:
    """One table. `heavy` names its columns of bytes, which queries and default reads leave out."""

    name: str
    schema: pa.Schema
    keys: tuple[str, ...] = ()
    heavy: tuple[str, ...] = ()

    @property
    def light(self) -> list[str]:
        """The columns that are not heavy, in order."""
        return [name for name in self.schema.names if name not in self.heavy]

    @property
    def without_bytes(self) -> list[str]:
        """The light columns and, of blobs, where they lie: what is read without pictures, latents or weights."""
        return [*self.light, *self.blobs]

    @property
    def blobs(self) -> list[str]:
        """The columns stored out of line as Lance blobs."""
        return [field.name for field in self.schema if isinstance(field.type, lance.blob.BlobType)]

    def arrow(self, rows: list[dict]) -> pa.Table:
        """Rows as an Arrow table of this schema, dicts as canonical JSON.

        Raises `ValueError` on a column that does not exist.
        """
        unknown = {name for row in rows for name in row} - set(self.schema.names)
        if unknown:
            raise ValueError(f"table {self.name} has no column {', '.join(sorted(unknown))}")
        columns = []
        for field in self.schema:
            values = [row.get(field.name) for row in rows]
            values = [canonical_json(value) if isinstance(value, dict) else value for value in values]
            is_blob = isinstance(field.type, lance.blob.BlobType)
            columns.append(lance.blob_array(values) if is_blob else pa.array(values, field.type))
        return pa.Table.from_arrays(columns, schema=self.schema)

    def empty(self) -> pa.Table:
        return self.arrow([])


def _table(name: str, keys: tuple[str, ...], heavy: tuple[str, ...] = (), **columns: pa.DataType) -> Table:
    fields = [
        lance.blob_field(column)
        if isinstance(kind, lance.blob.BlobType)
        else pa.field(column, kind, nullable=column not in keys, metadata=PRIMARY_KEY if column in keys else None)
        for column, kind in columns.items()
    ]
    return Table(name, pa.schema(fields), keys, heavy)


_ALL = (
    _table(
        "episodes",
        ("episode_id",),
        episode_id=TEXT,
        content_digest=TEXT,
        suite=TEXT,
        task=TEXT,
        instruction=TEXT,
        seed=LARGE,
        source=TEXT,
        actor=TEXT,
        policy_id=TEXT,
        settings=JSON,
        initial_state_digest=TEXT,
        initial_state=pa.list_(pa.float64()),
        length=SMALL,
        success=FLAG,
        success_frames=SMALL,
        final_success=FLAG,
        final_progress=SINGLE,
        best_progress=SINGLE,
        best_progress_step=SMALL,
    ),
    _table(
        "frames",
        ("episode_id", "step"),
        ("image",),
        episode_id=TEXT,
        step=SMALL,
        image=pa.binary(),
        proprio=CURVE,
        action=CURVE,
        reward=SINGLE,
        progress=SINGLE,
        timestamp=DOUBLE,
    ),
    _table(
        "episode_facts",
        ("episode_id", "rules_version"),
        episode_id=TEXT,
        rules_version=TEXT,
        errors=NAMES,
        warnings=NAMES,
        length=SMALL,
        arrays_disagreeing=SMALL,
        chunk_remainder=SMALL,
        frames_declared=SMALL,
        frames_undecoded=SMALL,
        picture_sizes=SMALL,
        black_frames=SMALL,
        darkest_frame=SINGLE,
        frozen_frames=SMALL,
        timestamps_missing=SMALL,
        timestamps_backward=SMALL,
        timestamp_gap=DOUBLE,
        timestamp_drift=DOUBLE,
        actions_not_finite=SMALL,
        action_reach=DOUBLE,
        action_saturation=DOUBLE,
        proprio_not_finite=SMALL,
        proprio_jump=DOUBLE,
        proprio_spike=DOUBLE,
        rewards_not_binary=SMALL,
        progress_out_of_range=SMALL,
        rewards_contradicting_progress=SMALL,
        first_success=SMALL,
        states_beyond_end=SMALL,
        states_success_lost=SMALL,
        instruction_characters=SMALL,
        instruction_task=TEXT,
        instruction_foreign=SMALL,
        instruction_unknown=SMALL,
    ),
    _table("episode_sets", ("set_version", "episode_id"), set_version=TEXT, episode_id=TEXT, position=SMALL),
    _table(
        "sans",
        ("sans_version", "episode_id"),
        sans_version=TEXT,
        episode_id=TEXT,
        split=TEXT,
        label=TEXT,
        rule=TEXT,
        success_frames=SMALL,
        best_progress=SINGLE,
        best_progress_step=SMALL,
        final_progress=SINGLE,
        threshold=SINGLE,
        origin=TEXT,
        origin_iteration=TEXT,
        policy_id=TEXT,
    ),
    _table(
        "models",
        ("model_id",),
        ("weights",),
        model_id=TEXT,
        kind=TEXT,
        config=JSON,
        weights=lance.blob.BlobType(),
        parents=JSON,
        metrics=JSON,
        mlflow_run_id=TEXT,
        mlflow_model=TEXT,
    ),
    _table(
        "latents",
        ("autoencoder", "episode_id"),
        ("latents",),
        autoencoder=TEXT,
        episode_id=TEXT,
        frames=SMALL,
        channels=SMALL,
        height=SMALL,
        width=SMALL,
        latents=pa.large_binary(),
    ),
    _table(
        "training_membership",
        ("model_id", "episode_id"),
        model_id=TEXT,
        episode_id=TEXT,
        label=TEXT,
        set_version=TEXT,
        lance_version=LARGE,
    ),
    _table(
        "keyframes",
        ("keyframes_version", "episode_id", "step"),
        keyframes_version=TEXT,
        episode_id=TEXT,
        step=SMALL,
        kind=TEXT,
        task=TEXT,
    ),
    _table(
        "alignments",
        ("alignment_version", "episode_id"),
        ("strip", "video"),
        alignment_version=TEXT,
        model_id=TEXT,
        episode_id=TEXT,
        task=TEXT,
        protocol=TEXT,
        true_success=FLAG,
        judged_success_imagined=FLAG,
        judged_success_real=FLAG,
        reward_success=FLAG,
        success_threshold=SINGLE,
        judge_threshold=SINGLE,
        frame_stride=SMALL,
        psnr_last=SINGLE,
        psnr=SINGLE,
        static_psnr_last=SINGLE,
        static_psnr=SINGLE,
        ssim=SINGLE,
        flip=SINGLE,
        lpips=SINGLE,
        psnr_curve=CURVE,
        ssim_curve=CURVE,
        flip_curve=CURVE,
        static_psnr_curve=CURVE,
        reward_curve=CURVE,
        judge_curve=CURVE,
        judge_real_curve=CURVE,
        true_reward_curve=CURVE,
        strip=pa.binary(),
        video=pa.binary(),
    ),
    _table(
        "evaluations",
        ("policy_id", "protocol", "task", "seed"),
        policy_id=TEXT,
        protocol=TEXT,
        task=TEXT,
        seed=LARGE,
        initial_state_digest=TEXT,
        success=FLAG,
        steps=SMALL,
        best_progress=SINGLE,
    ),
    _table(
        "materializations",
        (),
        asset=TEXT,
        campaign=TEXT,
        iteration=TEXT,
        data_version=TEXT,
        code_version=TEXT,
        config_digest=TEXT,
        parents=JSON,
        fingerprint=TEXT,
        details=JSON,
        blocking_failure=TEXT,
        run_id=TEXT,
        materialized_at=INSTANT,
        seconds=DOUBLE,
        real_steps=LARGE,
        imagined_steps=LARGE,
        tables=JSON,
    ),
    _table(
        "iterations",
        ("campaign", "iteration"),
        campaign=TEXT,
        iteration=TEXT,
        versions=JSON,
        tables=JSON,
        models=JSON,
        real_steps=LARGE,
        imagined_steps=LARGE,
        committed_at=INSTANT,
    ),
    _table("retractions", ("episode_id",), episode_id=TEXT, reason=TEXT, retracted_at=INSTANT),
    _table(
        "imports",
        ("import_name", "record_id"),
        import_name=TEXT,
        record_id=TEXT,
        episode_id=TEXT,
        unmappable=TEXT,
        format=TEXT,
        path=TEXT,
        file=TEXT,
        record=TEXT,
        files=JSON,
        mapping=JSON,
        importer=TEXT,
        imported_at=INSTANT,
    ),
    _table(
        "quarantine",
        ("record_id", "rules_version"),
        ("payload",),
        record_id=TEXT,
        rules_version=TEXT,
        rules=NAMES,
        reason=TEXT,
        suite=TEXT,
        task=TEXT,
        seed=LARGE,
        source=TEXT,
        actor=TEXT,
        settings=JSON,
        instruction=TEXT,
        length=SMALL,
        asset=TEXT,
        campaign=TEXT,
        iteration=TEXT,
        run_id=TEXT,
        payload=pa.large_binary(),
        quarantined_at=INSTANT,
    ),
    _table(
        "quarantine_releases",
        ("record_id", "rule"),
        record_id=TEXT,
        rule=TEXT,
        reason=TEXT,
        released_by=TEXT,
        released_at=INSTANT,
        withheld_from=NAMES,
    ),
)

# Tables that hold nothing but what trainings make again from the others.
DERIVED = ("latents",)

TABLES: dict[str, Table] = {table.name: table for table in _ALL}
