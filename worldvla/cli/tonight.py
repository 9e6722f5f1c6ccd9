"""`worldvla tonight`: what the coming night will run, how long it should take, and what blocks it."""

import json
import subprocess
import sys
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from worldvla.cli import output

COLUMNS = ["campaign", "iteration", "assets", "starts", "expected", "ends", "deadline", "in time", "blocked"]


def tonight(
    campaign: Annotated[str | None, typer.Option(help="Only this campaign, also where it has no nights.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
) -> None:
    """Tell what the night under way, or else the next one, will run for every campaign with nightly.enabled.

    Expected times are medians of past runs, one asset after the other; a run waits longer
    where other campaigns share its pools.
    """
    rows = ask(campaign)
    if as_json:
        output.emit(rows, True)
        return
    if not rows:
        output.say("no campaign has nightly.enabled: see docs/nightly.md and pipelines/campaigns.yaml")
        return
    output.emit([_for_people(row) for row in rows], False, "tonight", COLUMNS)
    for row in rows:
        for note in row["notes"]:
            output.say(f"{row['campaign']}: {note}")


def ask(campaign: str | None) -> list[dict[str, Any]]:
    """What `pipelines.tonight` knows; a process of its own, because this library knows nothing of Dagster."""
    from worldvla.home import environment, project_root

    command = [sys.executable, "-m", "pipelines.tonight", *(["--campaign", campaign] if campaign else [])]
    done = subprocess.run(command, cwd=project_root(), env=environment(), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise typer.Exit(done.returncode)
    return json.loads(done.stdout)


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    unknown = row["unknown_assets"]
    seconds = row["expected_seconds"]
    expected = None if seconds is None else output.duration(seconds) + (f" and {unknown} unknown" if unknown else "")
    in_time = {True: "yes", False: f"no, will {row['at_deadline']}", None: None}[row["before_deadline"]]
    return {
        "campaign": row["campaign"],
        "iteration": row["iteration"],
        "assets": ", ".join(row["assets"]) or None,
        "starts": _local(row["starts_at"], row["time_zone"]),
        "expected": expected,
        "ends": _local(row["ends_at"], row["time_zone"]),
        "deadline": _local(row["deadline"], row["time_zone"]),
        "in time": in_time,
        "blocked": row["blocked"] or "no",
    }


def _local(moment: str | None, zone: str | None) -> str | None:
    return moment and datetime.fromisoformat(moment).astimezone(ZoneInfo(zone)).strftime("%m-%d %H:%M %Z")
