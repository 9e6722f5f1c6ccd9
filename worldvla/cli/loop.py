"""`worldvla loop`: materializes what is missing or stale, through Dagster, in order."""

from typing import Annotated

import typer

from worldvla.cli import output
from worldvla.cli.carry_out import Via, carry_out
from worldvla.errors import UserError
from worldvla.partitions import MOST_ITERATIONS


def loop(
    campaign: Annotated[str, typer.Option(help="A campaign of pipelines/campaigns.yaml, or a variant.")],
    iterations: Annotated[
        int, typer.Option(min=1, max=MOST_ITERATIONS, help="How many iterations the campaign should have in the end.")
    ] = 1,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Make and run a named variant.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The variant's name; made from the settings when left out.")] = None,
    via: Via = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
) -> None:
    """Run a campaign's loop: whatever is missing or stale in its first ITERATIONS iterations, in order.

    Ends with the table of `worldvla audit loop_progress`. Killed at any moment, the same command goes on.
    With --via the runs belong to that server: interrupted, they go on, and the same command waits for them.
    Exit status: 0 done, 1 an asset failed, 2 a mistake in the command, 3 a gate keeps the rest back.
    """
    from worldvla import campaigns
    from worldvla.lake.materializations import latest
    from worldvla.lake.query import audits, run_audit
    from worldvla.lake.store import Lake
    from worldvla.planner.plan import Selection

    if name is not None and not settings:
        raise UserError("--name names a variant: give its settings with --set KEY=VALUE")
    if settings:
        campaign = campaigns.make_variant(campaign, dict(map(campaigns.parse_setting, settings)), name)
        output.say(f"variant {campaign}")
    campaigns.load(campaign)
    again = f"worldvla loop --campaign {campaign} --iterations {iterations}"
    outcome, status = carry_out({campaign: iterations}, Selection.loop(campaign, iterations), again, via)
    if outcome.status == "done" and not outcome.runs:
        output.say(f"everything is fresh: {campaign}, {iterations} iteration{'s' * (iterations > 1)}")
    lake = Lake.default()
    # Of a campaign whose first run failed there may be nothing that an audit could be asked about.
    begun = lake.exists("materializations") and campaign in {node[1] for node in latest(lake)}
    progress = run_audit(lake, "loop_progress", {"campaign": campaign}).to_dicts() if begun else []
    output.emit(progress, as_json, "loop_progress", audits()["loop_progress"].shown)
    if status:
        raise typer.Exit(status)
    output.say(f"next: worldvla report --campaign {campaign}; worldvla status --campaign {campaign}; make ui")
