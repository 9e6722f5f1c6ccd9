"""Nights: across midnight, time zones and changes of clocks; missed ones; and promises of freshness."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from worldvla import campaigns
from worldvla.config import Nightly
from worldvla.planner.night import opening, tonight

DEFAULTS = campaigns.default("nightly")


def settings(**values) -> Nightly:
    return Nightly(**{**DEFAULTS, "enabled": True, **values})


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


TIMES = st.times().map(lambda one: one.strftime("%H:%M"))
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
MOMENTS = st.datetimes(datetime(2025, 1, 2), datetime(2027, 12, 30), timezones=st.just(UTC))


@given(TIMES, TIMES | st.none(), ZONES, MOMENTS)
def test_tonight_is_the_night_under_way_or_the_next(start, deadline, zone, now):
    if start == deadline:
        return
    night = tonight(settings(start=start, deadline=deadline, time_zone=zone), now)
    assert night.start < night.deadline and now < night.deadline
    # Lord Howe's clocks move by half an hour, others by a whole one.
    assert night.deadline - night.start <= timedelta(hours=25) and night.start - now <= timedelta(hours=25)


@pytest.mark.parametrize(
    ("start", "deadline", "now", "expected"),
    [
        ("01:00", "07:00", "2026-07-01T06:59:00", ("2026-07-01", "2026-07-01T01:00", "2026-07-01T07:00")),
        ("01:00", "07:00", "2026-07-01T07:00:00", ("2026-07-02", "2026-07-02T01:00", "2026-07-02T07:00")),
        ("22:30", "06:00", "2026-07-01T03:00:00", ("2026-06-30", "2026-06-30T22:30", "2026-07-01T06:00")),
        ("22:30", None, "2026-07-01T21:00:00", ("2026-06-30", "2026-06-30T22:30", "2026-07-01T22:30")),
    ],
)
def test_a_night_may_cross_midnight(start, deadline, now, expected):
    night = tonight(settings(start=start, deadline=deadline), utc(now))
    assert (night.name, night.start, night.deadline) == (expected[0], utc(expected[1]), utc(expected[2]))


def test_the_clock_that_counts_is_the_campaigns():
    berlin = settings(start="01:00", deadline="07:00", time_zone="Europe/Berlin")
    assert tonight(berlin, utc("2026-01-10T12:00")).start == utc("2026-01-11T00:00")
    assert tonight(berlin, utc("2026-07-10T12:00")).start == utc("2026-07-10T23:00")
    # On 29 March 2026 the clocks go from 2 to 3: the night is an hour shorter, and still ends at seven.
    short = tonight(berlin, utc("2026-03-28T12:00"))
    assert short.deadline - short.start == timedelta(hours=5)
    # On 25 October 2026 London has one o'clock twice: the night starts at the second, as its schedule does.
    london = settings(start="01:00", deadline="07:00", time_zone="Europe/London")
    assert tonight(london, utc("2026-10-24T12:00")).start == utc("2026-10-25T01:00")
    # And on 29 March none: it starts an hour after midnight, which is two.
    assert tonight(london, utc("2026-03-28T12:00")).start == utc("2026-03-29T01:00")


def test_a_missed_night_is_skipped_or_caught_up():
    scheduled = utc("2026-07-01T01:00")
    assert opening(settings(), scheduled, utc("2026-07-01T06:00")).deadline == utc("2026-07-01T07:00")
    assert "missed" in opening(settings(), scheduled, utc("2026-07-01T07:00"))
    late = opening(settings(missed="catch_up"), scheduled, utc("2026-07-03T10:00"))
    assert (late.name, late.start, late.deadline) == ("2026-07-01", utc("2026-07-03T10:00"), utc("2026-07-03T16:00"))
    # Six hours would end in the next night, which finds this one's run at work and starts none.
    evening = opening(settings(missed="catch_up"), scheduled, utc("2026-07-03T20:00"))
    assert (evening.name, evening.deadline) == ("2026-07-01", utc("2026-07-04T07:00"))


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"time_zone": "Mars/Olympus"}, "is no time zone"),
        ({"time_zone": "../../etc/passwd"}, "is no time zone"),
        ({"start": 60}, "valid string"),
        ({"start": "25:00"}, "match pattern"),
        ({"deadline": "01:00"}, "deadline is the start"),
        ({"deadline": None, "at_deadline": "terminate"}, "terminate needs one"),
    ],
)
def test_settings_that_make_no_night_are_refused(values, problem):
    with pytest.raises(ValidationError, match=problem):
        settings(**values)
