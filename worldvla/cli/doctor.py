"""`worldvla doctor`: verifies the lake and mends what is safe to mend."""

from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated

import typer

from worldvla.cli import output

EXIT_ILL = 1


def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read every frame and every weight, and compute their digests anew.")
    ] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended without loss.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
) -> None:
    """Verify the lake: files, versions, references, keys; with --deep, digests of all content.

    Errors are what a reader will meet or a cleanup would break, notes cost bytes alone. Exit status: 0 when there is
    no error, or none that was not repaired; 1 otherwise.
    """
    from worldvla.cli.quiet import quiet
    from worldvla.home import home
    from worldvla.lake.store import Lake
    from worldvla.upkeep import doctor as lake_doctor

    lake = Lake.default()
    # What is mended must be found while nothing else writes.
    with quiet(lake) if repair else nullcontext():
        with output.steps("examining", lake_doctor.steps(lake, deep)) as step:
            found = lake_doctor.examine(lake, home(), deep, step)
        if repair:
            found = lake_doctor.repair(lake, found)
    rows = [asdict(finding) for finding in sorted(found, key=lambda one: (one.severity, one.check, one.table))]
    output.emit(rows, as_json, "findings", ["severity", "check", "table", "problem", "fix", "repaired"])
    open_errors = [finding for finding in found if finding.severity == "error" and not finding.repaired]
    notes = sum(finding.severity == "note" for finding in found)
    looked = "every digest" if deep else "everything but digests; --deep computes those"
    if any(finding.check == "files" for finding in found):
        looked = "files alone: while one is damaged, what the rows name cannot be told"
    output.say(f"{len(found) - notes} errors, {notes} notes; looked at {looked}")
    if open_errors:
        raise typer.Exit(EXIT_ILL)
