"""`worldvla report`: one self-contained HTML page a campaign."""

from typing import Annotated

import typer

from worldvla.cli import output


def report(
    campaign: Annotated[str, typer.Option(help="The campaign to report on.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
) -> None:
    """Write a campaign's report: videos real against imagined, curves, tables, lineage."""
    from worldvla.lake.store import Lake
    from worldvla.report.page import build

    path = build(Lake.default(), campaign)
    output.emit([{"campaign": campaign, "path": str(path)}], as_json, "report")
