"""`worldvla quarantine`: episodes that quality rules keep out of the lake: which, why, and letting them in."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worldvla.cli import output
from worldvla.errors import UserError

if TYPE_CHECKING:
    from worldvla.episodes.episode import Episode
    from worldvla.quality.quarantine import Held

app = typer.Typer(
    name="quarantine",
    help="Episodes that quality rules keep out of the lake: which, why, and letting them in.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
SHOWN = ["record", "status", "asset", "campaign", "iteration", "task", "seed", "source", "rules", "quarantined_at"]
# Of an import instead, where the record lies.
OF_IMPORTS = ["record", "status", "import", "file", "position", "task", "rules", "quarantined_at"]
STATUSES = ("quarantined", "released", "passing")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")]
Record = Annotated[str, typer.Argument(help="The record's id, or a prefix that only it has.")]


@app.command("list")
def list_records(
    rule: Annotated[str | None, typer.Option(help="Only records that break this rule.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only quarantined, released or passing records; otherwise all.")
    ] = None,
    campaign: Annotated[str | None, typer.Option(help="Only records of this campaign.")] = None,
    iteration: Annotated[str | None, typer.Option(help="Only records of this iteration.")] = None,
    asset: Annotated[str | None, typer.Option(help="Only records that were to enter through this asset.")] = None,
    task: Annotated[str | None, typer.Option(help="Only records of this task.")] = None,
    source: Annotated[str | None, typer.Option(help="Only records of this source: expert, policy, import, …")] = None,
    as_json: Json = False,
) -> None:
    """List refused records, the latest first."""
    from worldvla.lake.store import Lake
    from worldvla.partitions import iteration_key
    from worldvla.quality.quarantine import held
    from worldvla.quality.rules import RULES, UNMAPPABLE

    names = [*(one.name for one in RULES), *UNMAPPABLE]
    if rule is not None and rule not in names:
        raise UserError(f"--rule: there is no rule {rule!r}; there are: {', '.join(names)}")
    if status is not None and status not in STATUSES:
        raise UserError(f"--status: {status!r} is none of {', '.join(STATUSES)}")
    if iteration is not None and not iteration.isdecimal():
        raise UserError(f"--iteration: {iteration!r} is no number; give that of one iteration, such as 3 or 0003")
    number = None if iteration is None else iteration_key(int(iteration))
    wanted = {"campaign": campaign, "iteration": number, "asset": asset, "task": task, "source": source}
    found = [
        one
        for one in held(Lake.default())
        if (rule is None or rule in one.broken)
        and (status is None or one.status == status)
        and all(value is None or one.row[name] == value for name, value in wanted.items())
    ]
    if not found and not as_json:
        output.say("no record is in quarantine" if not any((rule, status, *wanted.values())) else "no such record")
        return
    rows = [_row(one) for one in found]
    short = [row | {"record": row["record"][:12], "rules": ", ".join(row["rules"])} for row in rows]
    imports = all(row["source"] == "import" for row in rows)
    output.emit(rows if as_json else short, as_json, "quarantine", OF_IMPORTS if imports and rows else SHOWN)


@app.command()
def show(
    record: Record,
    strip: Annotated[Path | None, typer.Option(help="Write a PNG of frames, evenly spaced, to this file.")] = None,
    bytes_to: Annotated[
        Path | None, typer.Option("--bytes", help="Write the record's bytes, as safetensors, to this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show one record: where it came from, which rules it breaks, and every fact measured on it."""
    from worldvla.lake.store import Lake
    from worldvla.quality.quarantine import facts_of, find, record_bytes
    from worldvla.quality.rules import RULES

    lake = Lake.default()
    one = find(lake, record)
    facts = facts_of(lake, one.row["record_id"])
    row = _row(one) | {"reason": one.row["reason"], "instruction": one.row["instruction"], "facts": facts}
    if strip is not None or bytes_to is not None:
        from worldvla.episodes.packing import pack

        episode = record_bytes(lake, one.row["record_id"])
        if strip is not None:
            _write(strip, _strip(episode))
        if bytes_to is not None:
            _write(bytes_to, pack(episode))
    if as_json:
        output.emit([row], True)
        return
    about = [{"field": name, "value": _text(value)} for name, value in row.items() if name not in ("facts", "reason")]
    output.emit(about, False, f"record {one.row['record_id']}")
    for sentence in one.row["reason"].split("; "):
        output.say(sentence)
    bounds = {rule.column: rule for rule in RULES if rule.name in one.broken}
    measured = [
        {"fact": name, "measured": value, "breaks": bounds[name].name if name in bounds else None}
        for name, value in facts.items()
        if value is not None and not isinstance(value, list)
    ]
    output.emit(measured, False, "facts")


@app.command()
def release(
    record: Record,
    reason: Annotated[str, typer.Option(help="Why, for whoever asks later.")],
    by: Annotated[str | None, typer.Option(help="Who; the name you are logged in with, where it does not say.")] = None,
    as_json: Json = False,
) -> None:
    """Put a record into the lake as it is; the rules that it breaks will not keep it out again."""
    from worldvla.lake.commit import Commit
    from worldvla.lake.store import Lake
    from worldvla.locks import at_work
    from worldvla.quality import quarantine

    lake = Lake.default()
    one = quarantine.find(lake, record)
    with at_work():
        nodes = quarantine.release(lake, one, reason, by or _logged_in(), Commit(run_id="", asset="release"))
    released = quarantine.find(lake, one.row["record_id"])
    where = "; `worldvla rematerialize` lets it into " + ", ".join(nodes) if nodes else ""
    output.say(f"released {one.row['record_id']} from {', '.join(one.broken)}{where}")
    output.emit([_row(released) | {"stale": nodes}], as_json, "released", [*SHOWN[:2], *SHOWN[5:9]])


def _logged_in() -> str:
    """The user's name; a container may run under a number that has none."""
    from getpass import getuser

    try:
        return getuser()
    except (KeyError, OSError):
        raise UserError("--by: the user who runs this has no name here; say who releases the record") from None


def _row(one: "Held") -> dict[str, Any]:
    place = json.loads(one.row["settings"] or "{}").get("import", {})
    own = ("asset", "campaign", "iteration", "task", "seed", "source", "actor", "length", "run_id", "quarantined_at")
    return {
        "record": one.row["record_id"],
        "status": one.status,
        **{name: one.row[name] for name in own},
        "import": one.row["actor"] if place else None,
        **{"file": place.get("file"), "position": place.get("record"), "path": place.get("path")},
        "rules": list(one.broken),
        "released_from": list(one.released),
        "in_lake": one.in_lake,
    }


def _strip(episode: "Episode") -> bytes:
    from worldvla.episodes.strip import strip

    return strip(episode.images, episode.camera_stride)


def _text(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    output.say(f"wrote {path}, {len(data)} bytes")
