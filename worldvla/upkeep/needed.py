"""What is needed: everything that can be reached from what somebody keeps.

From a published node to what it was made from, from a model to its parents and the episodes
that trained it, from an episode to the policy that acted in it. Lineage questions walk the
same edges, so what they can name of a thing that is kept is kept too.
"""

import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from worldvla.lake.models import KINDS
from worldvla.lake.store import Lake
from worldvla.planner.graph import GRAPH

MATERIALIZATIONS = ["asset", "campaign", "iteration", "data_version", "fingerprint", "materialized_at"]
# Tables whose rows belong to a version, and the columns of theirs that name models.
MEMBERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "episode_sets": ("set_version", ()),
    "sans": ("sans_version", ("policy_id",)),
    "keyframes": ("keyframes_version", ()),
    "alignments": ("alignment_version", ("model_id",)),
}

NodeKey = tuple[str, str, str]


@dataclass
class Needed:
    """`publications` are row ids of `materializations`, `versions` data versions, the others ids and digests."""

    publications: set[int] = field(default_factory=set)
    versions: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    episodes: set[str] = field(default_factory=set)
    autoencoders: set[str] = field(default_factory=set)

    def without(self, other: "Needed") -> "Needed":
        return Needed(
            self.publications - other.publications,
            self.versions - other.versions,
            self.models - other.models,
            self.episodes - other.episodes,
            self.autoencoders - other.autoencoders,
        )

    def add(self, other: "Needed") -> None:
        self.publications |= other.publications
        self.versions |= other.versions
        self.models |= other.models
        self.episodes |= other.episodes
        self.autoencoders |= other.autoencoders

    def __bool__(self) -> bool:
        return any((self.publications, self.versions, self.models, self.episodes, self.autoencoders))


def autoencoders(configurations: pl.Series) -> pl.Series:
    """Whose latents each model reads: the digest of its autoencoder, or its own; null where it has none.

    `configurations` are JSON.
    """
    read, own = (configurations.str.json_path_match(path) for path in ("$.autoencoder.digest", "$.digest"))
    return read.zip_with(read.is_not_null(), own)


class Lineage:
    """The edges of the lake as it is now, read once; columns of bytes and frames are not read."""

    def __init__(self, lake: Lake):
        with lake.reading("materializations") as dataset:
            published = dataset.to_table(columns=MATERIALIZATIONS, with_row_id=True)
        self.publications = pl.DataFrame(pl.from_arrow(published)).rename({"_rowid": "row"})
        models = lake.frame("models", ["model_id", "parents", "config"])
        self.models = {model: json.loads(parents) for model, parents, _ in models.iter_rows()}
        digests = dict(zip(models["model_id"], autoencoders(models["config"]), strict=True))
        self.autoencoders = {model: digest for model, digest in digests.items() if digest is not None}
        self.trained_on = lake.frame("training_membership", ["model_id", "episode_id", "set_version"])
        self.members = {
            table: lake.frame(table, [column, "episode_id", *models]).unique()
            for table, (column, models) in MEMBERS.items()
        }
        self.episodes = lake.frame("episodes", ["episode_id", "policy_id"])
        self._history: dict[NodeKey, list[tuple]] = defaultdict(list)
        self._published: dict[str, list[int]] = defaultdict(list)
        for row in self.publications.sort("materialized_at").iter_rows(named=True):
            node = row["asset"], row["campaign"], row["iteration"]
            self._history[node].append((row["materialized_at"], row["row"]))
            if row["asset"] in KINDS:
                self._published[row["data_version"]].append(row["row"])
        self._rows = {row["row"]: row for row in self.publications.iter_rows(named=True)}

    def reach(self, roots: Needed) -> Needed:
        """The roots and everything they need."""
        reached, frontier = Needed(), roots
        while frontier:
            reached.add(frontier)
            found = self._from_publications(frontier.publications)
            found.add(self._from_models(frontier.models, reached.publications | found.publications))
            found.add(self._from_versions(frontier.versions))
            found.add(self._from_episodes(frontier.episodes))
            frontier = found.without(reached)
        return reached

    def current_at(self, campaign: str, moments: Iterable[datetime]) -> set[int]:
        """The publications of a campaign that were current at one of these moments."""
        moments = sorted(moments)
        found = set()
        for node, history in self._history.items():
            if node[1] == campaign:
                ends = [moment for moment, _ in history[1:]]
                for (begin, row), end in zip(history, [*ends, None], strict=True):
                    until = len(moments) if end is None else bisect_left(moments, end)
                    if bisect_left(moments, begin) < until:
                        found.add(row)
        return found

    def current(self, campaign: str) -> set[int]:
        """The publications of a campaign that are current now: by these its nodes are fresh."""
        return {history[-1][1] for node, history in self._history.items() if node[1] == campaign}

    def since(self, moment: datetime) -> set[int]:
        """The publications made since a moment."""
        return set(self.publications.filter(pl.col("materialized_at") >= moment)["row"])

    def _from_publications(self, rows: Iterable[int]) -> Needed:
        found = Needed()
        for row in map(self._rows.__getitem__, rows):
            found.versions.add(row["data_version"])
            if row["asset"] in KINDS:
                found.models.add(row["data_version"])
            for node in _parents(row):
                parent = _last(self._history[node], row["materialized_at"]) if node in self._history else None
                if parent is not None:
                    found.publications.add(parent)
        return found

    def _from_models(self, models: set[str], publications: set[int]) -> Needed:
        found = Needed()
        for model in models:
            found.models.update(self.models.get(model, {}).values())
            if model in self.autoencoders:
                found.autoencoders.add(self.autoencoders[model])
            # A model that another campaign publishes as well keeps only the publications that are needed anyway.
            if not publications & set(self._published[model]):
                found.publications.update(self._published[model])
        rows = self.trained_on.filter(pl.col("model_id").is_in(models)) if models else self.trained_on.clear()
        found.versions.update(rows["set_version"].unique().drop_nulls())
        found.episodes.update(rows["episode_id"].unique())
        return found

    def _from_versions(self, versions: set[str]) -> Needed:
        found = Needed()
        for table, (column, models) in MEMBERS.items():
            rows = (
                self.members[table].filter(pl.col(column).is_in(versions)) if versions else self.members[table].clear()
            )
            found.episodes.update(rows["episode_id"])
            for name in models:
                found.models.update(rows[name].unique().drop_nulls())
        return found

    def _from_episodes(self, episodes: set[str]) -> Needed:
        if not episodes:
            return Needed()
        rows = self.episodes.filter(pl.col("episode_id").is_in(episodes))
        return Needed(models=set(rows["policy_id"].unique().drop_nulls()))


def _parents(row: dict) -> Iterable[NodeKey]:
    """The nodes that a publication was made from; over the back edge, those of every earlier iteration."""
    node = GRAPH.get(row["asset"])
    for name in node.parents if node else ():
        parent = GRAPH[name]
        if parent.feedback_from:
            for number in range(int(row["iteration"])):
                yield parent.feedback_from, row["campaign"], f"{number:04d}"
        else:
            yield name, row["campaign"], row["iteration"] if parent.scope == "iteration" else ""


def _last(history: list[tuple], moment: datetime) -> int | None:
    """The newest publication of a node up to a moment."""
    index = bisect_right(history, moment, key=lambda item: item[0])
    return history[index - 1][1] if index else None
