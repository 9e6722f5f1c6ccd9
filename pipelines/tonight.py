"""What a night will do, as Dagster and the lake know it: `python -m pipelines.tonight` prints it as JSON.

`worldvla tonight` starts this, because `worldvla/` knows nothing of Dagster.
"""

import argparse
import json
import os
import sys
import warnings
from contextlib import redirect_stdout
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from pipelines import clock
from pipelines.daemon import daemon_is_alive
from pipelines.failures import of_run
from pipelines.instance import open_instance
from pipelines.runs import in_flight, last_run, unsettled_run
from pipelines.schedules import schedule_name
from worldvla.config import Nightly
from worldvla.errors import EXIT_USER_ERROR, UserError
from worldvla.lake.faults import in_words
from worldvla.lake.store import Lake
from worldvla.notifications.registry import notifiers
from worldvla.partitions import CAMPAIGN_SCOPE
from worldvla.planner.cost import expected, total
from worldvla.planner.night import Night, tonight
from worldvla.planner.nightly import Due, night_of, overdue, settings_of_all

SUFFIXES = {True: "", False: "_campaigns"}


def rows(instance: dg.DagsterInstance, wanted: str | None = None) -> list[dict[str, Any]]:
    """One row a run that the night will start, or a campaign that it will not carry on, with the reason.

    Without `wanted`, of every campaign with `nightly.enabled`. Raises `UserError` for one that does not exist.
    """
    readable, broken = settings_of_all()
    if wanted is not None and wanted not in readable:
        raise UserError(broken.get(wanted) or f"no campaign {wanted!r}; the campaigns are {', '.join(readable)}")
    found: list[dict[str, Any]] = []
    if wanted is None:
        found += [_row(name, None, None, None, blocked=reason) for name, reason in broken.items()]
    for campaign, settings in readable.items():
        if campaign == wanted or (wanted is None and settings.enabled):
            found += _of_campaign(instance, campaign, settings)
    return found


def _of_campaign(instance: dg.DagsterInstance, campaign: str, settings: Nightly) -> list[dict[str, Any]]:
    lake, now = Lake.default(), clock.now()
    night = tonight(settings, now)
    due, stops = night_of(lake, campaign)
    blocked = _blocked(instance, campaign, settings, due or stops)
    late = overdue(lake, campaign, settings, now)
    notes = [f"iteration {late.iteration} is overdue: {late.reason}"] if late and not late.on_time else []
    if due and stops:
        notes.append(f"as things stand nothing follows these: {stops}")
    if due and night.start < now:
        command = f"worldvla loop --campaign {campaign} --iterations {int(due[-1].iteration or 0) + 1}"
        began = night.start.astimezone(ZoneInfo(settings.time_zone))
        notes.append(
            f"this night began at {began:%H:%M %Z}: what its schedule did not start then waits for the next one, "
            f"unless no daemon ran; at once: {command}"
        )
    heard, problems = notifiers(settings.notify)
    notes += [f"{'not everybody' if heard else 'nobody'} hears of a failure: {problem}" for problem in problems]
    if not due:
        return [_row(campaign, settings, night, None, blocked=blocked, notes=notes)]
    begin, found = max(now, night.start), []
    for one in due:
        row = _row(campaign, settings, night, one, blocked=blocked, notes=notes)
        costs = total(expected(lake, [(asset, campaign, one.iteration) for asset in one.assets]).values())
        end = begin + timedelta(seconds=costs.seconds) if begin and not costs.unknown else None
        row |= {
            "starts_at": begin,
            "expected_seconds": costs.seconds,
            "unknown_assets": costs.unknown,
            "ends_at": end,
            "before_deadline": end and end <= night.deadline,
        }
        found.append(row)
        # The next run follows this one; when, nobody can say where this one's time is not known.
        begin = end
    return found


def _row(
    campaign: str,
    settings: Nightly | None,
    night: Night | None,
    due: Due | None,
    blocked: str | None,
    notes: list[str] | None = None,
) -> dict[str, Any]:
    return {
        "campaign": campaign,
        "iteration": due.iteration or None if due else None,
        "assets": list(due.assets) if due else [],
        "night": night and night.name,
        "time_zone": settings and settings.time_zone,
        "starts_at": None,
        "expected_seconds": None,
        "unknown_assets": None,
        "ends_at": None,
        "deadline": night and night.deadline,
        "before_deadline": None,
        "at_deadline": settings and settings.at_deadline,
        "missed": settings and settings.missed,
        "blocked": blocked,
        "notes": notes or [],
    }


def _blocked(instance: dg.DagsterInstance, campaign: str, settings: Nightly, due: list[Due] | str) -> str | None:
    """What keeps the night from carrying the campaign on, the nearest cause first; none where nothing does."""
    off = None if settings.enabled else "nightly.enabled is off for this campaign"
    if unsettled := unsettled_run(instance, campaign):
        run = last_run(instance, campaign)
        ended = run is not None and run.status is dg.DagsterRunStatus.FAILURE
        causes = of_run(instance, run.run_id) if ended and not in_flight(instance, campaign) else []
        why = "; ".join(f"{one.asset}: {one.message}" if one.asset else one.message for one in causes)
        unsettled += f" ({why})" if why else ""
    said = [one for one in (off, unsettled) if one]
    if isinstance(due, str) and not off:
        said.append(due)
    if said or isinstance(due, str):
        return "; ".join(said)
    return _asleep(instance, settings, bool(due[0].iteration != CAMPAIGN_SCOPE))


def _asleep(instance: dg.DagsterInstance, settings: Nightly, for_iterations: bool) -> str | None:
    """Why no schedule will ask: it is switched off, or nothing runs it."""
    name = schedule_name(settings.start, settings.time_zone) + SUFFIXES[for_iterations]
    if not any(state.is_running and state.instigator_name == name for state in instance.all_instigator_state()):
        return f"the schedule {name} is off: switch it on under Automation in the UI (`make ui`)"
    return None if daemon_is_alive(instance) else "no Dagster daemon runs: `make ui` starts one"


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def main() -> int:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(prog="python -m pipelines.tonight")
    parser.add_argument("--campaign")
    # Anybody's notifier may print while it is made.
    try:
        with redirect_stdout(sys.stderr), open_instance() as instance:
            found = rows(instance, parser.parse_args().campaign)
    except (UserError, OSError) as error:
        if (words := in_words(error)) is None:
            raise
        print(f"error: {words}", file=sys.stderr)
        return EXIT_USER_ERROR
    print(json.dumps(found, default=_plain, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)
