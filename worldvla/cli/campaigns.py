"""`worldvla campaigns`: what can be run."""

from typing import Annotated

import typer

from worldvla.cli import output
from worldvla.errors import UserError

SHOWN = ("campaign", "suite", "tasks", "seed", "nightly")


def campaigns(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
) -> None:
    """List the campaigns of the file and the variants made with --set."""
    from worldvla import campaigns as known

    rows = []
    for name in known.campaign_names():
        try:
            campaign = known.load(name)
        except UserError as error:
            rows.append({"campaign": name, **dict.fromkeys(SHOWN[1:]), "error": str(error)})
            continue
        rows.append(
            {
                "campaign": name,
                "suite": campaign.scene.suite,
                "tasks": ", ".join(campaign.scene.tasks),
                "seed": campaign.seed,
                "nightly": campaign.nightly.enabled,
                "error": None,
            }
        )
    output.emit(rows, as_json, "campaigns", SHOWN)
    for row in rows:
        if row["error"]:
            output.say(f"{row['campaign']} cannot be run: {row['error']}")
