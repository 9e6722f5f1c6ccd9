"""Which episodes are exported, and what is said of each: an audit's result, a SANS, or episodes by name.

Every exported episode carries its provenance: the columns of table `episodes`, the node of the
asset graph that published it first, and its label and split where the selection knows them.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from worldvla.curation.splits import SPLITS
from worldvla.episodes.episode import camera_stride
from worldvla.errors import UserError
from worldvla.lake.episodes import episode_rows, retracted
from worldvla.lake.query import asking, run_audit
from worldvla.lake.store import Lake
from worldvla.lake.time_travel import versions_at
from worldvla.partitions import iteration_key

# What a selection may say of an episode; audits that have such columns say it too.
SAID = ("label", "split", "rule")

_SANS = """
select sans.episode_id, sans.label, sans.split, sans.rule
from current_sans as sans
left join episodes using (episode_id)
where sans.campaign = $campaign and sans.iteration = $iteration and ($split = 'any' or sans.split = $split)
order by list_position(['train', 'validation', 'heldout'], sans.split), episodes.task, episodes.seed, sans.episode_id
"""
_PLACES = "select distinct campaign || '/' || iteration as place from current_sans order by place"
_PUBLISHED = """
select episode_sets.episode_id, materializations.asset, materializations.campaign, materializations.iteration
from episode_sets
join materializations on materializations.data_version = episode_sets.set_version
semi join selected on selected.episode_id = episode_sets.episode_id
qualify row_number() over (partition by episode_sets.episode_id order by materialized_at, asset) = 1
"""


@dataclass(frozen=True)
class Selection:
    """Episodes in order. `rows` have `episode_id` and what the selection says of it; `described` names the question,
    `tables` the versions of the tables that answered it."""

    rows: list[dict[str, Any]]
    described: dict[str, Any]
    tables: dict[str, int]


@dataclass(frozen=True)
class Chosen:
    """What will be written: a row of provenance an episode, and the ids left out, by the reason."""

    rows: list[dict[str, Any]]
    left_out: dict[str, list[str]]
    described: dict[str, Any]
    tables: dict[str, int]

    @property
    def seldom_drawn(self) -> int:
        """How many of the episodes have pictures of some states alone."""
        return sum(1 for row in self.rows if camera_stride(json.loads(row["settings"] or "{}")) > 1)


def of_audit(lake: Lake, name: str, parameters: Mapping[str, str], as_of: str | None = None) -> Selection:
    """The episodes that an audit's result names, each once; raises `UserError` where it names none."""
    tables = versions_at(lake, as_of) if as_of else lake.versions()
    answer = run_audit(lake, name, dict(parameters), tables)
    if "episode_id" not in answer.columns:
        has = ", ".join(answer.columns)
        raise UserError(f"audit {name} does not name episodes: it has no column episode_id, only {has}")
    answer = answer.filter(pl.col("episode_id").is_not_null()).unique("episode_id", keep="first", maintain_order=True)
    rows = answer.select("episode_id", *(one for one in SAID if one in answer.columns)).to_dicts()
    return Selection(rows, {"audit": name, "parameters": dict(parameters), "as_of": as_of}, tables)


def of_sans(lake: Lake, place: str) -> Selection:
    """The SANS of CAMPAIGN/ITERATION, or one split of it; raises `UserError` where there is none."""
    campaign, iteration, split = _place(place)
    tables = lake.versions()
    with asking(lake, _SANS + _PLACES, tables) as connection:
        values = {"campaign": campaign, "iteration": iteration, "split": split}
        rows = pl.DataFrame(pl.from_arrow(connection.sql(_SANS, params=values).to_arrow_table())).to_dicts()
        where = f"{campaign}/{iteration}"
        if not rows and where not in (places := [row[0] for row in connection.execute(_PLACES).fetchall()]):
            raise UserError(f"--sans {place}: there is no such SANS; there is {', '.join(places) or 'none yet'}")
    return Selection([{**row, "sans": where} for row in rows], {"sans": where, "split": split}, tables)


def of_episodes(lake: Lake, names: Iterable[str]) -> Selection:
    """Episodes by id or a prefix of one; raises `UserError` on one that names none, several, or a retracted one."""
    from worldvla.lake.names import resolve_episode

    tables = lake.versions()
    ids = list(dict.fromkeys(resolve_episode(lake, name) for name in names))
    withdrawn = set(retracted(lake)["episode_id"])
    for one in ids:
        if one in withdrawn:
            raise UserError(f"episode {one} was retracted; `worldvla retract {one} --undo` takes that back")
    return Selection([{"episode_id": one} for one in ids], {"episodes": ids}, tables)


def chosen(lake: Lake, selection: Selection) -> Chosen:
    """The provenance of what can be exported: recorded and not retracted. Raises `UserError` where nothing is left."""
    said = {row["episode_id"]: row for row in selection.rows}
    withdrawn = set(retracted(lake)["episode_id"])
    recorded = {row["episode_id"]: row for row in episode_rows(lake, list(said)).iter_rows(named=True)}
    nodes = _published(lake, list(said))
    rows, left_out = [], {"retracted": [], "not recorded any more": []}
    for one in said:
        if one in withdrawn:
            left_out["retracted"].append(one)
        elif one not in recorded:
            left_out["not recorded any more"].append(one)
        else:
            place = nodes.get(one, {"asset": None, "campaign": None, "iteration": None})
            of_selection = {name: said[one].get(name) for name in (*SAID, "sans")}
            rows.append({**recorded[one], **place, **of_selection})
    left_out = {reason: ids for reason, ids in left_out.items() if ids}
    if not rows:
        why = "; ".join(f"{len(ids)} {reason}" for reason, ids in left_out.items())
        raise UserError(f"nothing to export: the selection names no episode{f' that is left ({why})' if why else ''}")
    return Chosen(rows, left_out, selection.described, selection.tables)


def _published(lake: Lake, ids: list[str]) -> dict[str, dict[str, str]]:
    """The node that published each episode first."""
    with asking(lake, _PUBLISHED) as connection:
        connection.register("selected", pl.DataFrame({"episode_id": ids}, {"episode_id": pl.String}).to_arrow())
        rows = pl.DataFrame(pl.from_arrow(connection.sql(_PUBLISHED).to_arrow_table())).to_dicts()
    return {row.pop("episode_id"): row for row in rows}


def _place(text: str) -> tuple[str, str, str]:
    """Campaign, iteration's key and split (`any` where none is said) of CAMPAIGN/ITERATION[/SPLIT]."""
    parts = text.split("/")
    if len(parts) not in (2, 3) or not (parts[1].isascii() and parts[1].isdigit()):
        raise UserError(f"--sans {text!r}: write CAMPAIGN/ITERATION or CAMPAIGN/ITERATION/SPLIT, for example demo/1")
    split = parts[2] if len(parts) == 3 else "any"
    if split not in (*SPLITS, "any"):
        raise UserError(f"--sans {text!r}: there is no split {split!r}; the splits are {', '.join(SPLITS)}")
    return parts[0], iteration_key(int(parts[1])), split
