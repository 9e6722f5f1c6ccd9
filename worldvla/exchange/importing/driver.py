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
from worldvla.lake.quarantine import Unread, errors_of, quarantine_unread
from worldvla.lake.store import Lake, quoted
from worldvla.quality.admission import admit

VERSION = "1"  # raise it when the same record and mapping would give another episode
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


class _Known(NamedTuple):
    """A record with its name and where it comes from, not read yet."""

    record: Record | Broken
    record_id: str
    files: dict[str, str]


def bring_in(
    lake: Lake, archive: Archive, recipe: Recipe, limit: int | None = None, tick: Callable[[], None] = lambda: None
) -> Outcome:
    """Imports the first `limit` records, or all; `tick` is called once a record."""
    outcome = Outcome()
    done = imported(lake, recipe.name)
    stream = new_records(archive, recipe, done, limit, outcome, tick)
    while group := list(islice(_read(stream, recipe), BATCH)):
        _write(lake, archive, recipe, group, outcome)
    return outcome


def new_records(
    archive: Archive,
    recipe: Recipe,
    done: set[str],
    limit: int | None,
    outcome: Outcome,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[_Known]:
    """The records that are not imported yet, unread; counts all of them."""
    digests, words = Digests(archive.root), recipe.words
    made_by = [VERSION, recipe.format, recipe.chunk, recipe.mapping.digest, words.suite, words.task, words.instruction]
    for record in islice(archive.records(), limit):
        files = digests.of(record.files)
        content = files if record.own is None else [files[record.files[0]], record.own]
        record_id = digest([*made_by, content, record.position])
        outcome.records += 1
        if record_id in done:
            outcome.skipped += 1
        else:
            yield _Known(record, record_id, files)
        tick()


def imported(lake: Lake, name: str) -> set[str]:
    """The records of an import whose episode, or whose place in quarantine, is there."""
    if not lake.exists("imports"):
        return set()
    rows = lake.frame("imports", ["record_id", "episode_id"], f"import_name = {quoted(name)}")
    held = set(lake.frame("quarantine", ["record_id"])["record_id"]) if lake.exists("quarantine") else set()
    there = existing(lake, rows["episode_id"].to_list()) | held
    return {record for record, episode in rows.iter_rows() if episode in there}


def _read(stream: Iterator[_Known], recipe: Recipe) -> Iterator[tuple[_Known, Episode | Unmappable]]:
    """Each record read while its archive stands at it."""
    for known in stream:
        record = known.record
        if isinstance(record, Broken):
            yield known, record.error
            continue
        file = record.files[0]
        origin = {"file": file, "record": record.position, "digest": known.files[file]}
        try:
            yield known, assemble(record, recipe, origin)
        except Unmappable as error:
            yield known, error


def _write(
    lake: Lake, archive: Archive, recipe: Recipe, group: list[tuple[_Known, Episode | Unmappable]], outcome: Outcome
) -> None:
    episodes = [made for _, made in group if isinstance(made, Episode)]
    verdicts = admit(lake, episodes, COMMIT)
    outcome.imported += len(verdicts.admitted)
    outcome.quarantined += len(verdicts.refused)
    rows, unread = [], []
    for known, made in group:
        row = {
            "import_name": recipe.name,
            "record_id": known.record_id,
            "format": recipe.format,
            "path": archive.address,
            "file": known.record.files[0],
            "record": known.record.position,
            "files": known.files,
            "mapping": recipe.mapping.entries,
            "importer": VERSION,
            "imported_at": datetime.now(UTC),
        }
        if isinstance(made, Episode):
            rows.append(row | {"episode_id": made.episode_id})
            continue
        place = {key: row[key] for key in ("format", "path", "file", "record", "files")}
        unread.append(_unread(known, recipe, made, place))
        rows.append(row | {"episode_id": known.record_id, "unmappable": f"{made.rule}: {made.reason}"})
        outcome.quarantined += 1
        outcome.refusals[made.rule] += 1
    outcome.refusals.update(rule for rules in errors_of(lake, verdicts.refused).values() for rule in rules)
    quarantine_unread(lake, unread, COMMIT)
    lake.insert("imports", rows, COMMIT)


def _unread(known: _Known, recipe: Recipe, error: Unmappable, place: dict) -> Unread:
    return Unread(
        record_id=known.record_id,
        rule=error.rule,
        reason=f"{error.rule}: {error.reason}",
        suite=recipe.suite,
        actor=recipe.name,
        settings={"import": {**place, "mapping": recipe.mapping.digest}},
        payload=canonical_json(place).encode(),
    )
