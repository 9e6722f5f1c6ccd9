"""One night of the schedule: when it starts, when it ends, and what becomes of one that was missed.

Times of day are a campaign's own, in its time zone; everything else is compared as moments.
A time that a change of clocks skips is taken as the same number of hours after midnight, and
of one that it brings twice the second is meant, as Dagster does.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from worldvla.config import Nightly

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Night:
    """From `start` until `deadline`, after which no further run is started; both in UTC.

    `name` is the local date on which it starts. Without a deadline a night lasts until the
    next one starts.
    """

    name: str
    start: datetime
    deadline: datetime


def tonight(settings: Nightly, now: datetime) -> Night:
    """The night that is under way, else the next one."""
    today = now.astimezone(ZoneInfo(settings.time_zone)).date()
    nights = (_night(settings, today + days * DAY) for days in (-1, 0, 1))
    return next(night for night in nights if now < night.deadline)


def opening(settings: Nightly, scheduled: datetime, now: datetime) -> Night | str:
    """The night that a tick of the schedule opens, or why it opens none.

    `scheduled` is when the tick was due, `now` when it is evaluated: much later, where the
    machine or the scheduler was off. Late in its night is not missed. A missed night is
    caught up at once, with as many hours as it would have had, or skipped; where these reach
    into the next night, which its run keeps from starting another, it has that one's deadline.
    """
    zone = ZoneInfo(settings.time_zone)
    night = _night(settings, scheduled.astimezone(zone).date())
    if now < night.deadline:
        return night
    if settings.missed == "skip":
        return (
            f"the night of {night.name} was missed: nothing started it between {_local(night.start, zone)} and "
            f"{_local(night.deadline, zone)}; nightly.missed is skip"
        )
    begun = now.astimezone(UTC)
    end = begun + (night.deadline - night.start)
    today = now.astimezone(zone).date()
    following = next(one for one in (_night(settings, today + days * DAY) for days in (0, 1, 2)) if one.start > begun)
    return Night(night.name, begun, following.deadline if end > following.start else end)


def _night(settings: Nightly, day: date) -> Night:
    zone = ZoneInfo(settings.time_zone)
    start = _moment(day, settings.start, zone)
    if settings.deadline is None:
        return Night(day.isoformat(), start, _moment(day + DAY, settings.start, zone))
    deadline = _moment(day, settings.deadline, zone)
    return Night(day.isoformat(), start, deadline if deadline > start else _moment(day + DAY, settings.deadline, zone))


def _moment(day: date, time_of_day: str, zone: ZoneInfo) -> datetime:
    first = datetime.combine(day, time.fromisoformat(time_of_day), zone)
    return max(first.astimezone(UTC), first.replace(fold=1).astimezone(UTC))


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")


def moment(text: str) -> datetime:
    """A moment as `isoformat` wrote it."""
    return datetime.fromisoformat(text)
