"""Quarantine: records that broke a rule, kept whole and out of the lake until a person lets them in.

A row holds the record's bytes, the rules that it broke and where it came from, once for every
version of the rules that refused it. A release names a record and a rule; a record stays out
while it breaks an error rule of the present version that was not released for it. So what is
quarantined now is computed, never stored, and a crash leaves nothing to undo.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from worldvla.episodes.episode import ORIGIN, Episode, Source
from worldvla.episodes.packing import pack, unpack
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.digests import canonical_json
from worldvla.lake.episodes import existing, write_episodes
from worldvla.lake.store import Lake, is_in, quoted
from worldvla.quality.rules import RULES, RULES_VERSION, UNMAPPABLE

# Publications whose details may name records that were kept out.
KEPT_OUT = """contains(details, '"quarantined"')"""

NodeKey = tuple[str, str, str]


@dataclass(frozen=True)
class Held:
    """What is known of one record: the row that refused it last, the rules it breaks now, those it was released from.

    `in_lake`: whether its episode is recorded, released or refused afterwards by a later version of the rules.
    """

    row: dict
    broken: tuple[str, ...]
    released: tuple[str, ...]
    in_lake: bool

    @property
    def status(self) -> str:
        """`quarantined`; `released` by a person; `passing`: refused once, and no rule of today refuses it."""
        if set(self.broken) - set(self.released):
            return "quarantined"
        return "released" if self.released else "passing"


@dataclass(frozen=True)
class Unread:
    """A record of somebody else's file that is no episode, by a rule of `worldvla.quality.rules.UNMAPPABLE`.

    `settings` and `payload` (JSON) say where it lies; its bytes stay there.
    """

    record_id: str
    rule: str
    reason: str
    suite: str
    actor: str
    settings: dict
    payload: bytes


def quarantine_unread(lake: Lake, records: Iterable[Unread], commit: Commit) -> None:
    """Keeps where records lie that are no episodes, and why; those kept already stay as they are."""
    own = ("record_id", "reason", "suite", "actor", "payload")
    rows = [
        {
            **{name: getattr(record, name) for name in own},
            "rules_version": RULES_VERSION,
            "rules": [record.rule],
            "source": str(Source.IMPORT),
            "settings": canonical_json(record.settings),
            "asset": commit.asset,
            "campaign": commit.campaign,
            "iteration": commit.iteration,
            "run_id": commit.run_id,
            "quarantined_at": datetime.now(UTC),
        }
        for record in records
    ]
    if rows:
        lake.insert("quarantine", rows, commit)


def forget_unread(lake: Lake, records: Collection[str], commit: Commit) -> None:
    """Drops what is kept of records that are read again: what comes of it now is kept instead."""
    if not lake.exists("quarantine"):
        return
    where = is_in("record_id", sorted(records))
    if len(lake.frame("quarantine", ["record_id"], where)):
        lake.delete("quarantine", where, commit)


def quarantine(lake: Lake, refused: Iterable[tuple[Episode, Mapping]], commit: Commit) -> None:
    """Keeps episodes whose facts (rows of `episode_facts`) break error rules; those kept already stay as they are."""
    rows = [_row(episode, facts, commit) for episode, facts in refused]
    if rows:
        lake.insert("quarantine", rows, commit)


def held(lake: Lake) -> list[Held]:
    """Every record that was ever refused, the latest first."""
    if not lake.exists("quarantine"):
        return []
    rows = lake.frame("quarantine").sort("quarantined_at").unique("record_id", keep="last", maintain_order=True)
    ids = rows["record_id"].to_list()
    broken, released, recorded = errors_of(lake, ids), releases(lake), existing(lake, ids)
    return [
        Held(
            row,
            tuple(broken.get(row["record_id"], row["rules"])),
            tuple(sorted(released.get(row["record_id"], ()))),
            row["record_id"] in recorded,
        )
        for row in reversed(rows.to_dicts())
    ]


def find(lake: Lake, text: str) -> Held:
    """The one record whose id begins with `text`; raises `UserError` where there is none or several."""
    matches = [one for one in held(lake) if one.row["record_id"].startswith(text)]
    if not matches:
        raise UserError(f"no quarantined record has an id that begins with {text!r}; `worldvla quarantine list` shows")
    if len(matches) > 1:
        ids = ", ".join(one.row["record_id"][:12] for one in matches[:8])
        raise UserError(f"{text!r} names {len(matches)} records, write more of the id: {ids}")
    return matches[0]


def record_bytes(lake: Lake, record_id: str) -> Episode:
    """The quarantined episode, from its bytes; raises `UserError` where they are not what was put in."""
    where = f"record_id = {quoted(record_id)}"
    rows = lake.read("quarantine", ["payload", "rules", "reason"], where).to_pylist()
    if not rows:
        raise UserError(f"quarantine has no record {record_id}")
    payloads = [row["payload"] for row in rows]
    if set(rows[0]["rules"]) & UNMAPPABLE.keys():
        place = json.loads(payloads[0])
        raise UserError(
            f"record {record_id} is no episode: {rows[0]['reason']}. It is {place['record'] or 'all'} of "
            f"{place['file']} in {place['path']}; "
            "mend it there, or the mapping, and import again"
        )
    try:
        episode = unpack(payloads[0])
    except ValueError as error:
        raise UserError(f"the bytes of quarantined record {record_id} are damaged: {error}") from error
    if episode.episode_id != record_id:
        raise UserError(f"the bytes of quarantined record {record_id} are those of {episode.episode_id}: damaged")
    return episode


def release(lake: Lake, record: Held, reason: str, released_by: str, commit: Commit) -> list[str]:
    """Puts a record into the lake as it is, and exempts it from the rules that it breaks.

    Returns the nodes, as `asset/campaign/iteration`, whose published sets were made without it:
    they are stale now.

    The episode is written before the release is: a crash between them leaves a recorded
    episode that no set contains, and the same call again completes it. Raises `UserError`
    where the record is whole enough for no table, or is not held any more.
    """
    record_id = record.row["record_id"]
    if record.status != "quarantined":
        raise UserError(f"record {record_id} is {record.status}: nothing holds it back")
    if not reason.strip():
        raise UserError("--reason: say why, for whoever asks later")
    if not record.in_lake:
        episode = record_bytes(lake, record_id)
        if "arrays_disagree" in record.broken or "no_actions" in record.broken:
            raise UserError(
                f"record {record_id} cannot be written as frames: {record.row['reason']}. "
                f"Its bytes stay: `worldvla quarantine show {record_id[:12]} --bytes FILE`"
            )
        write_episodes(lake, [episode], commit)
    now, nodes = datetime.now(UTC), _withheld_from(lake, record_id)
    rows = [
        {
            "record_id": record_id,
            "rule": rule,
            "reason": reason,
            "released_by": released_by,
            "released_at": now,
            "withheld_from": nodes,
        }
        for rule in record.broken
    ]
    lake.insert("quarantine_releases", rows, commit)
    return nodes


def released_to(lake: Lake, published: Mapping[NodeKey, datetime]) -> dict[NodeKey, set[str]]:
    """The nodes whose publication of this moment kept records out that were released, and the records' ids.

    The publication itself says what it kept out, so one that was under way at the release is found, too.
    """
    if not releases(lake):
        return {}
    let_in = {one.row["record_id"] for one in held(lake) if one.status == "released"}
    columns = ["asset", "campaign", "iteration", "materialized_at", "details"]
    nodes = {}
    for *node, moment, details in lake.frame("materializations", columns, KEPT_OUT).iter_rows():
        found = let_in & set(json.loads(details).get("quarantined", ()))
        if found and published.get(tuple(node)) == moment:
            nodes[tuple(node)] = found
    return nodes


def quarantine_of(lake: Lake) -> pl.DataFrame:
    """Every row of quarantine without its bytes; `has_bytes`: whether they are there."""
    rows = lake.frame("quarantine")
    bare = lake.frame("quarantine", ["record_id", "rules_version"], "payload IS NULL")
    return rows.join(
        bare.with_columns(has_bytes=pl.lit(False)), on=["record_id", "rules_version"], how="left"
    ).with_columns(pl.col("has_bytes").fill_null(True))


def releases(lake: Lake) -> dict[str, set[str]]:
    """The rules that each record was released from."""
    found: dict[str, set[str]] = {}
    if lake.exists("quarantine_releases"):
        for record, rule in lake.frame("quarantine_releases", ["record_id", "rule"]).iter_rows():
            found.setdefault(record, set()).add(rule)
    return found


def released_since(lake: Lake, ids: Iterable[str]) -> bool:
    """Whether any of these records, once kept out, was released."""
    wanted = set(ids)
    return bool(wanted) and bool(wanted & releases(lake).keys())


def origins_held(lake: Lake) -> dict[tuple, str]:
    """Where each record came from (`ORIGIN`), and its id: what need not be recorded again."""
    if not lake.exists("quarantine"):
        return {}
    rows = lake.frame("quarantine", ["record_id", *ORIGIN])
    return dict(zip(rows.select(ORIGIN).iter_rows(), rows["record_id"], strict=True))


def facts_of(lake: Lake, record_id: str) -> dict:
    """Everything measured on a record under the present version of the rules; nothing where it was not."""
    where = f"rules_version = {quoted(RULES_VERSION)} AND episode_id = {quoted(record_id)}"
    rows = lake.frame("episode_facts", where=where).to_dicts()
    return rows[0] if rows else {}


def lengths(lake: Lake, ids: list[str]) -> dict[str, int]:
    """The number of actions of each of these records."""
    return dict(lake.frame("quarantine", ["record_id", "length"], is_in("record_id", ids)).iter_rows()) if ids else {}


def errors_of(lake: Lake, ids: list[str]) -> dict[str, list[str]]:
    """The error rules that episodes break under the present version, for those measured under it."""
    where = f"rules_version = {quoted(RULES_VERSION)} AND {is_in('episode_id', ids)}"
    rows = lake.frame("episode_facts", ["episode_id", "errors"], where) if ids else pl.DataFrame()
    return dict(rows.iter_rows()) if len(rows) else {}


def _withheld_from(lake: Lake, record_id: str) -> list[str]:
    """The nodes whose newest publication says that it kept this record out."""
    if not lake.exists("materializations"):
        return []
    columns = ["asset", "campaign", "iteration", "details", "materialized_at"]
    rows = lake.frame("materializations", columns).sort("materialized_at", maintain_order=True)
    rows = rows.unique(["asset", "campaign", "iteration"], keep="last", maintain_order=True)
    return [
        f"{row['asset']}/{row['campaign']}/{row['iteration']}"
        for row in rows.iter_rows(named=True)
        if record_id in json.loads(row["details"]).get("quarantined", ())
    ]


def _row(episode: Episode, facts: Mapping, commit: Commit) -> dict:
    sentences = [rule.sentence(facts) for rule in RULES if rule.name in facts["errors"]]
    return {
        "record_id": episode.episode_id,
        "rules_version": facts["rules_version"],
        "rules": facts["errors"],
        "reason": "; ".join(sentences),
        **{name: getattr(episode, name) for name in ("suite", "task", "instruction", "actor", "length")},
        "seed": int(episode.seed),
        "source": str(episode.source),
        "settings": canonical_json(episode.settings),
        "asset": commit.asset,
        "campaign": commit.campaign,
        "iteration": commit.iteration,
        "run_id": commit.run_id,
        "payload": pack(episode),
        "quarantined_at": datetime.now(UTC),
    }
