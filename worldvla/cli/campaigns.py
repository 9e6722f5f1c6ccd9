"""`worldvla campaigns`: what can be run."""

from typing import Annotated

import typer

from worldvla.cli import output


def campaigns(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
) -> None:
    """List the campaigns of the file and the variants made with --set."""
    from worldvla import campaigns as known

    rows = []
    for name in known.campaign_names():
        campaign = known.load(name)
        rows.append(
            {
                "campaign": name,
                "suite": campaign.scene.suite,
                "tasks": ", ".join(campaign.scene.tasks),
                "seed": campaign.seed,
                "nightly": campaign.nightly.enabled,
            }
        )
    output.emit(rows, as_json, "campaigns")
