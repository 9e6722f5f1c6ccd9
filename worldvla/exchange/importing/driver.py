"""The driver: records through the mapping into the lake, a few at a time, each once.

A record is known by the digests of the files it is read from, its place in them, the mapping, what a person
said of suite, task and instruction, and this importer's version. Rows of `imports` are written last, so a call
that was killed can be repeated: what they name is skipped unread, and the episodes written before a kill are
found by their own keys.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

from worldvla.episodes.episode import Episode
from worldvla.exchange.importing.assembling import Recipe, assemble
from worldvla.exchange.importing.record import Archive, Broken, Digests, Record, Unmappable
from worldvla.lake.commit import Commit
from worldvla.lake.digests import canonical_json, digest
from worldvla.lake.episodes import existing
from worldvla.lake.store import Lake, quoted
from worldvla.quality.admission import admit
from worldvla.quality.quarantine import Unread, errors_of, forget_unread, quarantine_unread

VERSION = "4"  # raise it when the same record and mapping would give another episode
COMMIT = Commit(run_id="", asset="import")
BATCH = 16


@dataclass
class Outcome:
    """Counts of records, and of what was refused by rule. `skipped` were imported before."""

    records: int = 0
    imported: int = 0
    quarantined: int = 0
    skipped: int = 0
    refusals: Counter[str] = field(default_factory=Counter)


class _Place(NamedTuple):
    """A record's name and where it lies: `files` by digest, of which people are told `file`."""

    record_id: str
    file: str
    position: str
    files: dict[str, str]


class _Known(NamedTuple):
    """A record with its place, not read yet."""

    record: Record | Broken
    place: _Place


@dataclass(frozen=True)
class Asked:
    """Which records are asked for: the first `limit`, or all; with `retry` also those that were refused as no episode,
    for the machine may have been mended and not the file, by a decoder or another build of the simulator."""

    limit: int | None = None
    retry: bool = False


EVERYTHING = Asked()
Tick = Callable[[], None]  # called once a record


def bring_in(
    lake: Lake, archive: Archive, recipe: Recipe, asked: Asked = EVERYTHING, tick: Tick = lambda: None
) -> Outcome:
    """Imports what is asked for and not there yet."""
    outcome = Outcome()
    stream = new_records(lake, archive, recipe, asked, outcome, tick)
    while group := list(islice(_read(stream, recipe), BATCH)):
        _write(lake, archive, recipe, group, outcome)
    return outcome


def foresee(lake: Lake, archive: Archive, recipe: Recipe, asked: Asked, tick: Tick) -> Outcome:
    """What an import would find, as far as that can be told without reading pictures; writes nothing.

    `refusals` are of records that cannot be read at all, or whose task is unknown. The others may be refused yet.
    """
    outcome = Outcome()
    for record, _ in new_records(lake, archive, recipe, asked, outcome, tick):
        try:
            if isinstance(record, Broken):
                raise record.error
            recipe.words.of(record, recipe.mapping)
        except Unmappable as error:
            outcome.quarantined += 1
            outcome.refusals[error.rule] += 1
    return outcome


def new_records(
    lake: Lake, archive: Archive, recipe: Recipe, asked: Asked, outcome: Outcome, tick: Tick
) -> Iterator[_Known]:
    """The records asked for that are not imported yet, unread; counts all of them."""
    done = imported(lake, recipe.name, asked.retry)
    digests, words = Digests(archive.root), recipe.words
    made_by = [VERSION, recipe.format, recipe.chunk, recipe.mapping.digest, words.suite, words.task, words.instruction]
    for record in islice(archive.records(recipe.mapping["image"]), asked.limit):
        files = digests.of(record.files)
        content = {name: one for name, one in files.items() if name not in record.shared} | {"own": record.own}
        record_id = digest([*made_by, content, record.position])
        outcome.records += 1
        if record_id in done:
            outcome.skipped += 1
        else:
            yield _Known(record, _Place(record_id, record.files[0], record.position, files))
        tick()


def imported(lake: Lake, name: str, retry: bool) -> set[str]:
    """The records of an import whose episode is there, or its place in quarantine; with `retry`, the former alone and
    episodes in quarantine."""
    if not lake.exists("imports"):
        return set()
    rows = lake.frame("imports", ["record_id", "episode_id", "unmappable"], f"import_name = {quoted(name)}")
    if retry:
        rows = rows.filter(rows["unmappable"].is_null())
    held = set(lake.frame("quarantine", ["record_id"])["record_id"]) if lake.exists("quarantine") else set()
    there = existing(lake, rows["episode_id"].to_list()) | held
    return {record for record, episode, _ in rows.iter_rows() if episode in there}


def _read(stream: Iterator[_Known], recipe: Recipe) -> Iterator[tuple[_Place, Episode | Unmappable]]:
    """Each record read while its archive stands at it; what it was read from is let go."""
    for record, place in stream:
        if isinstance(record, Broken):
            yield place, record.error
            continue
        origin = {"file": place.file, "record": place.position, "digest": place.files[place.file]}
        origin["importer"] = VERSION
        try:
            yield place, assemble(record, recipe, origin)
        except Unmappable as error:
            yield place, error


def _write(
    lake: Lake, archive: Archive, recipe: Recipe, group: list[tuple[_Place, Episode | Unmappable]], outcome: Outcome
) -> None:
    episodes = [made for _, made in group if isinstance(made, Episode)]
    verdicts = admit(lake, episodes, COMMIT)
    outcome.imported += len(verdicts.admitted)
    outcome.quarantined += len(verdicts.refused)
    rows, unread = {}, []
    for place, made in group:
        row = {
            "import_name": recipe.name,
            "record_id": place.record_id,
            "format": recipe.format,
            "path": archive.address,
            "file": place.file,
            "record": place.position,
            "files": place.files,
            "mapping": recipe.mapping.entries,
            "importer": VERSION,
            "imported_at": datetime.now(UTC),
        }
        if isinstance(made, Episode):
            rows[place.record_id] = row | {"episode_id": made.episode_id}
            continue
        told = {key: row[key] for key in ("format", "path", "file", "record", "files")}
        unread.append(_unread(place.record_id, recipe, made, told))
        rows[place.record_id] = row | {"episode_id": place.record_id, "unmappable": f"{made.rule}: {made.reason}"}
        outcome.quarantined += 1
        outcome.refusals[made.rule] += 1
    forget_unread(lake, rows.keys(), COMMIT)
    outcome.refusals.update(rule for rules in errors_of(lake, verdicts.refused).values() for rule in rules)
    quarantine_unread(lake, unread, COMMIT)
    # In place of what they said of an episode that `worldvla retain` removed since.
    lake.upsert("imports", list(rows.values()), COMMIT)


def _unread(record_id: str, recipe: Recipe, error: Unmappable, told: dict) -> Unread:
    return Unread(
        record_id=record_id,
        rule=error.rule,
        reason=f"{error.rule}: {error.reason}",
        suite=recipe.suite,
        actor=recipe.name,
        settings={"import": {**told, "mapping": recipe.mapping.digest}},
        payload=canonical_json(told).encode(),
    )
