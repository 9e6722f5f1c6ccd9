"""Retention: what nobody needs is removed, and what anybody can name stays readable.

Needed is whatever can be reached (`worldvla.upkeep.needed`) from a champion, from a published
iteration as it was when its record was committed, from a pin, or from what was published or
recorded in the last days. The rest goes in the reverse order of writing, so at every moment
what a row names is there: `kill -9` leaves a readable lake, and the same command goes on.

Tables of payload (frames, videos, latents, weights) are never compacted. Where rows of theirs go, the
versions that iterations name would keep the bytes; those versions move forward to the one
after the removal, which holds all that the iteration needs, and its row of `iterations` says
so. The other tables keep the very versions that iterations name, and are compacted.
"""

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.digests import canonical_json
from worldvla.lake.faults import damaged_files, damaged_table
from worldvla.lake.store import Lake, is_in, quoted
from worldvla.lake.tables import TABLES
from worldvla.lake.tags import Tag, tag_iteration, tags, vectors
from worldvla.upkeep.footprint import Footprint, footprint
from worldvla.upkeep.needed import Lineage, Needed

# Tables whose rows may go, in the order in which they go, and the column that decides.
REMOVABLE: dict[str, str] = {
    "materializations": "_rowid",
    "evaluations": "policy_id",
    "training_membership": "model_id",
    "alignments": "alignment_version",
    "keyframes": "keyframes_version",
    "sans": "sans_version",
    "episode_sets": "set_version",
    "latents": "_rowid",
    "models": "model_id",
    "episode_facts": "episode_id",
    "episodes": "episode_id",
    "frames": "episode_id",
}
# A compaction rewrites fragments of fewer rows than this, once there are this many: each is rewritten seldom.
FRAGMENT_ROWS = 100_000
FRAGMENTS = 8
COMMIT = Commit(run_id="", asset="retention")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class TablePlan:
    """What happens to one table."""

    table: str
    footprint: Footprint
    removable: pl.Series


@dataclass(frozen=True)
class Plan:
    """What retention would do to a lake. `stale_tags` no longer keep anything that is needed."""

    tables: list[TablePlan]
    stale_tags: dict[str, list[str]]
    removed_models: list[dict]


def is_payload(table: str) -> bool:
    """Whether the table holds pictures, videos, latents or weights: never compacted, read by key, not by version."""
    return bool(TABLES[table].heavy)


def make_plan(
    lake: Lake,
    champions: Iterable[str],
    keep: timedelta,
    progress: Progress = lambda _: None,
    unfinished: Collection[str] = (),
) -> Plan:
    """What would go now. `champions` are model ids; what is younger than `keep` stays, whoever needs it.

    `unfinished` are the fingerprints of killed trainings that can go on: the versions that they told MLflow stay.

    Raises `UserError` when a table is damaged: nothing is removed from a lake that cannot be read.
    """
    if not lake.exists("materializations"):
        return Plan([], {}, [])
    there = [table for table in TABLES if lake.exists(table)]
    for table in there:
        if damaged := damaged_files(path := lake.path(table), TABLES[table].without_bytes):
            raise UserError(f"nothing is removed from a damaged lake: {damaged_table(table, path, damaged)}")
    progress("what is needed")
    lineage = Lineage(lake)
    needed = lineage.reach(_roots(lake, lineage, champions, datetime.now(UTC) - keep))
    stale = {table: _stale_tags(lake, table, lineage, needed, unfinished) for table in there}
    plans = []
    for table in there:
        progress(table)
        removable = _removable(lake, table, needed)
        staying = [
            version
            for tag, version in tags(lake, table).items()
            if tag.name not in stale[table] and (tag.holds_all or not is_payload(table))
        ]
        if not is_payload(table):
            staying += _named_by_iterations(lake, table)
        size = footprint(lake.open(table), REMOVABLE.get(table, "_rowid"), removable, staying)
        plans.append(TablePlan(table, size, removable))
    return Plan(plans, stale, _removed_models(lake, lineage, needed))


def apply(lake: Lake, plan: Plan, progress: Progress = lambda _: None) -> None:
    """Carries a plan out; nothing may write to the lake meanwhile. Killed at any moment, a new plan goes on."""
    protect(lake)
    planned = {one.table: one.removable for one in plan.tables}
    for table in REMOVABLE:
        if table in planned and len(planned[table]):
            progress(f"rows of {table}")
            lake.delete(table, _where(REMOVABLE[table], planned[table]), COMMIT)
    _move_snapshots(lake, list(planned))
    for table, names in plan.stale_tags.items():
        for name in names:
            lake.untag(table, name)
    for table in planned:
        progress(f"files of {table}")
        if not is_payload(table):
            _compact(lake, table)
        sweep(lake, table)


def protect(lake: Lake) -> None:
    """Tags the versions that rows of `iterations` name, where they are there."""
    named = vectors(lake)
    for table in TABLES:
        if lake.exists(table):
            wanted = {f"iteration.{c}.{i}": versions[table] for (c, i), versions in named.items() if table in versions}
            tagged, numbers = lake.tags(table), version_numbers(lake, table)
            for name, version in wanted.items():
                if tagged.get(name) != version and version in numbers:
                    lake.tag(table, name, version, move=True)


def sweep(lake: Lake, table: str) -> int:
    """Removes the versions that no tag names and the files that no version names; returns the bytes freed."""
    with lake.exclusive(table) as dataset:
        stats = dataset.cleanup_old_versions(
            older_than=timedelta(0),
            # Files of no version belong to a writer at work or to one that was killed; here nobody else writes
            # while the lock is held, but other machines do not see it.
            delete_unverified=not lake.is_remote,
            error_if_tagged_old_versions=False,
        )
    return stats.bytes_removed


def _roots(lake: Lake, lineage: Lineage, champions: Iterable[str], since: datetime) -> Needed:
    roots = Needed(publications=lineage.since(since), models=set(champions))
    if lake.exists("iterations"):
        rows = lake.frame("iterations", ["campaign", "iteration", "models", "committed_at"])
        for (campaign,), group in rows.group_by("campaign"):
            roots.publications |= lineage.current_at(str(campaign), group["committed_at"].drop_nulls())
            roots.publications |= lineage.current(str(campaign))
        for row in rows.iter_rows(named=True):
            roots.models.update(json.loads(row["models"] or "{}").values())
    roots.episodes |= set(lake.frame("retractions", ["episode_id"])["episode_id"])
    roots.episodes |= set(_recent(lake, "frames", "episode_id", since))
    roots.models |= set(_recent(lake, "models", "model_id", since))
    roots.autoencoders |= set(_recent(lake, "latents", "autoencoder", since))
    for table in TABLES:
        for tag, version in tags(lake, table).items() if lake.exists(table) else ():
            if tag.kind == "pinned model":
                roots.models.add(tag.model)
            elif tag.holds_all:
                roots.add(_pinned(lake, lineage, table, version))
    return roots


def _pinned(lake: Lake, lineage: Lineage, table: str, version: int) -> Needed:
    """The rows of a pinned version, as roots."""
    dataset = lake.open(table).checkout_version(version)
    if table == "latents":
        return Needed()  # derived: needed where a model and an episode are
    if table == "materializations":
        pinned = pl.DataFrame(
            pl.from_arrow(dataset.to_table(columns=["asset", "campaign", "iteration", "fingerprint"]))
        )
        rows = lineage.publications.join(pinned, on=pinned.columns, how="semi")
        return Needed(publications=set(rows["row"]))
    column = REMOVABLE.get(table)
    if column is None:
        return Needed()
    values = set(dataset.to_table(columns=[column])[column].unique().drop_null().to_pylist())
    kind = {"model_id": "models", "policy_id": "models", "episode_id": "episodes"}.get(column, "versions")
    return Needed(**{kind: values})


def _recent(lake: Lake, table: str, column: str, since: datetime) -> list[str]:
    """Keys in data files written since a moment; tables of payload are never rewritten."""
    if not lake.exists(table):
        return []
    dataset = lake.open(table)
    files = dataset.all_files().read_all()
    young = {
        path
        for path, moment in zip(files["path"].to_pylist(), files["last_modified"].to_pylist(), strict=True)
        if moment >= since
    }
    fragments = [
        fragment
        for fragment in dataset.get_fragments()
        if any(f"data/{file.path}" in young for file in fragment.data_files())
    ]
    if not fragments:
        return []
    return dataset.scanner(columns=[column], fragments=fragments).to_table()[column].unique().to_pylist()


def _removable(lake: Lake, table: str, needed: Needed) -> pl.Series:
    """The values of the table's deciding column that nobody needs."""
    column = REMOVABLE.get(table)
    if column is None:
        return pl.Series([], dtype=pl.String)
    if table == "latents":
        return _removable_latents(lake, needed)
    if column == "_rowid":
        present = pl.Series(
            lake.open(table).to_table(columns=[], with_row_id=True)["_rowid"].to_pylist(), dtype=pl.UInt64
        )
        return present.filter(~present.is_in(list(needed.publications)))
    # An IN over the many frames of an episode is asked of its first frame alone.
    where = "step = 0" if table == "frames" else None
    present = lake.frame(table, [column], where)[column].unique()
    episodes = needed.episodes
    if table == "episode_facts" and lake.exists("quarantine"):
        episodes = episodes | set(lake.frame("quarantine", ["record_id"])["record_id"])
    wanted = {"model_id": needed.models, "policy_id": needed.models, "episode_id": episodes}
    return present.filter(~present.is_in(list(wanted.get(column, needed.versions))))


def _removable_latents(lake: Lake, needed: Needed) -> pl.Series:
    """Row ids of latents whose autoencoder or whose episode nobody needs."""
    table = lake.open("latents").to_table(columns=["autoencoder", "episode_id"], with_row_id=True)
    kept = pl.col("autoencoder").is_in(needed.autoencoders) & pl.col("episode_id").is_in(needed.episodes)
    return pl.DataFrame(pl.from_arrow(table)).filter(~kept)["_rowid"]


def _removed_models(lake: Lake, lineage: Lineage, needed: Needed) -> list[dict]:
    """The models that nobody needs, and the campaigns that published them."""
    campaigns = lineage.publications.group_by(model_id="data_version").agg(pl.col("campaign").unique().sort())
    models = lake.frame("models", ["model_id", "kind"])
    gone = models.filter(~pl.col("model_id").is_in(needed.models)).join(campaigns, on="model_id", how="left")
    return gone.sort("kind", "model_id").to_dicts()


def _stale_tags(lake: Lake, table: str, lineage: Lineage, needed: Needed, unfinished: Collection[str]) -> list[str]:
    """Tags whose model, training or iteration is no longer there to need them."""
    kept = lineage.publications.filter(pl.col("row").is_in(list(needed.publications)))
    fingerprints = {*kept["fingerprint"], *unfinished}
    iterations = {f"{campaign}.{iteration}" for campaign, iteration in vectors(lake)}

    def stale(tag: Tag) -> bool:
        return (
            (tag.kind == "model" and tag.subject not in needed.models)
            or (tag.kind == "training" and tag.subject not in fingerprints)
            or (tag.kind == "iteration" and tag.subject not in iterations)
        )

    return [tag.name for tag in tags(lake, table) if stale(tag)]


def _named_by_iterations(lake: Lake, table: str) -> list[int]:
    return [versions[table] for versions in vectors(lake).values() if table in versions]


def _where(column: str, values: pl.Series) -> str:
    return is_in(column, values.to_list())


def _move_snapshots(lake: Lake, tables: list[str]) -> None:
    """Points iterations at the newest version of a payload table where theirs names files that the newest does not."""
    moved: dict[str, tuple[set[int], int]] = {}
    for table in filter(is_payload, tables):
        dataset = lake.open(table)
        newest = {file.path for fragment in dataset.get_fragments() for file in fragment.data_files()}
        files = dataset.tracked_files().read_all().to_pylist()
        older = {
            one["version"]
            for one in files
            if one["type"] == "data file" and one["path"].removeprefix("data/") not in newest
        }
        moved[table] = older, dataset.version
    for (campaign, iteration), versions in vectors(lake).items():
        changed = {table: newest for table, (older, newest) in moved.items() if versions.get(table) in older}
        if changed:
            where = f"campaign = {quoted(campaign)} AND iteration = {quoted(iteration)}"
            # Two machines at one campaign may have written two: readers take the newest.
            row = max(lake.read("iterations", where=where).to_pylist(), key=lambda one: one["committed_at"])
            lake.upsert("iterations", [row | {"tables": canonical_json(versions | changed)}], COMMIT)
            tag_iteration(lake, campaign, iteration, changed)


def _compact(lake: Lake, table: str) -> None:
    with lake.exclusive(table) as dataset:
        small = [one for one in dataset.get_fragments() if one.count_rows() < FRAGMENT_ROWS]
        if len(small) >= FRAGMENTS:
            dataset.optimize.compact_files(target_rows_per_fragment=FRAGMENT_ROWS, num_threads=1)


def version_numbers(lake: Lake, table: str) -> set[int]:
    """The versions of a table that can be opened."""
    return {one["version"] for one in lake.open(table).version_refs()}
