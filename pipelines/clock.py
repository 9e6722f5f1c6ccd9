"""What time it is, in one place, so that a test can say what time it is."""

from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)
