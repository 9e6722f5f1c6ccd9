"""`worldvla import`: other people's episodes into the lake, by a mapping that is printed."""

from typing import Annotated

import typer

from worldvla.cli import output
from worldvla.errors import UserError


def import_(
    format: Annotated[str, typer.Argument(help="libero, maniskill, lerobot, rlds or videos.")],
    path: Annotated[str, typer.Argument(help="A file or folder; for lerobot also a dataset's id on the hub.")],
    suite: Annotated[str, typer.Option(help="The suite that the episodes are of: one of ours, or any name.")],
    name: Annotated[str | None, typer.Option(help="The import's name; campaigns name it. Otherwise from PATH.")] = None,
    task: Annotated[str | None, typer.Option(help="The task of every record.")] = None,
    instruction: Annotated[str | None, typer.Option(help="The instruction of every record.")] = None,
    success: Annotated[
        str | None, typer.Option(help="Which records succeeded: all, none, FIELD or FIELD>=NUMBER; unknown is refused.")
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map", help="KEY=FIELD, over what the format says; KEY=- leaves it out. Keys: docs/importing.md."
        ),
    ] = None,
    chunk: Annotated[
        int | None, typer.Option(help="Episodes are cut to whole chunks of this many actions; scene.chunk by default.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first records.")] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Read again what could not be read: the machine was mended, not the file.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the mapping and counts; write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
) -> None:
    """Import episodes of another format; interrupted or repeated, each record comes in once."""
    from tqdm import tqdm

    from worldvla import campaigns
    from worldvla.exchange.importing.driver import Asked, bring_in, foresee
    from worldvla.exchange.importing.formats import open_source, printed
    from worldvla.exchange.importing.mapping import parse
    from worldvla.exchange.importing.words import Words
    from worldvla.lake.store import Lake
    from worldvla.locks import at_work

    given = parse(map_ or []) | ({"success": success} if success else {})
    chunk = campaigns.default("scene").get("chunk") if chunk is None else chunk
    if chunk is None:
        raise UserError("--chunk is needed: the campaigns file has no defaults.scene.chunk to go by")
    source = open_source(format, path, suite, name, Words(suite, task, instruction), given, chunk)
    recipe = source.recipe
    if not as_json:
        output.emit(printed(source), False, f"mapping of {recipe.name}")
    lake = Lake.default()
    asked, total = Asked(limit, retry), source.archive.count()
    total = min(total, limit) if total is not None and limit else total or limit
    with tqdm(total=total, desc=f"import {recipe.name}", unit="record", leave=False, disable=None) as bar:
        if dry_run:
            outcome = foresee(lake, source.archive, recipe, asked, bar.update)
        else:
            with at_work():
                outcome = bring_in(lake, source.archive, recipe, asked, bar.update)
    counts = {"records": outcome.records, "skipped": outcome.skipped}
    if dry_run:
        counts |= {"new": outcome.records - outcome.skipped, "refused": outcome.quarantined}
    else:
        counts |= {"imported": outcome.imported, "quarantined": outcome.quarantined}
    row = {"name": recipe.name, "format": format, "suite": suite, **counts, "refused_by": dict(outcome.refusals)}
    if as_json:
        output.emit([row | {"mapping": recipe.mapping.entries, "mapped": printed(source)}], True)
        return
    shown = row | {
        "refused_by": ", ".join(f"{rule} {count}" for rule, count in sorted(outcome.refusals.items())) or None
    }
    output.emit([shown], False, "would import" if dry_run else "import")
    if dry_run:
        output.say("pictures and numbers are judged when they are read")
    elif outcome.quarantined:
        output.say("`worldvla quarantine list --source import` says which records were refused, and why")
