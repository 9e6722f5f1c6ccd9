"""What a notification says, and what anything that delivers one must do."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol

Kind = Literal["failed", "gate", "deadline", "missed", "overdue"]

HEADLINES: dict[Kind, str] = {
    "failed": "failed",
    "gate": "stopped at a gate",
    "deadline": "reached the deadline",
    "missed": "missed its night",
    "overdue": "is overdue",
}


@dataclass(frozen=True)
class Notification:
    """One event of an unattended campaign.

    `asset` is the one at fault, where one is; `reason` is its error, its gate's reason, or
    what the policy did; `command` goes on from there.
    """

    kind: Kind
    campaign: str
    iteration: str
    reason: str
    command: str
    asset: str | None = None
    run_id: str | None = None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def text(self) -> str:
        """One line to see at a glance, the cause, and the command to go on."""
        where = f"{self.campaign} iteration {self.iteration}" if self.iteration else self.campaign
        head = f"worldvla: {where} {HEADLINES[self.kind]}" + (f" in {self.asset}" if self.asset else "")
        run = f" (run {self.run_id})" if self.run_id else ""
        return f"{head}{run}\n{self.reason}\nto go on: {self.command}"

    def as_dict(self) -> dict[str, str | None]:
        """Every field as JSON has it, and `text`, which chat services show."""
        return {**asdict(self), "at": self.at.isoformat(), "text": self.text}


class Notifier(Protocol):
    """Delivers notifications. Whatever it raises is shown beside the schedule and stops no other notifier."""

    def send(self, notification: Notification) -> None: ...


def send_all(notifiers: Sequence[tuple[str, Notifier]], notification: Notification) -> list[str]:
    """Sends through every named notifier; returns what went wrong, one line a notifier that failed."""
    problems = []
    for name, notifier in notifiers:
        try:
            notifier.send(notification)
        except (
            Exception,
            SystemExit,
        ) as error:  # Another's code: none of its errors may keep the next notifier from being asked.
            problems.append(f"notifier {name}: {type(error).__name__}: {error}")
    return problems
