"""Task and instruction of a record: as a person says, otherwise as the record says, otherwise as the suite says."""

import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass

from worldvla.errors import UserError
from worldvla.exchange.importing.mapping import Mapping
from worldvla.exchange.importing.record import Record, Unmappable
from worldvla.sim import suites

LONGEST_TASK = 80


@dataclass(frozen=True)
class Words:
    """`suite` may be one of ours, whose tasks are then the only ones, or any other name."""

    suite: str
    task: str | None = None
    instruction: str | None = None

    def __post_init__(self) -> None:
        if self.task is not None and self.suite in suites.SUITES and self.task not in suites.tasks(self.suite):
            known = ", ".join(suites.tasks(self.suite)[:8])
            raise UserError(f"--task: suite {self.suite} has no task {self.task!r}; it has: {known}, …")

    def of(self, record: Record, mapping: Mapping) -> tuple[str, str]:
        """Task and instruction; raises `Unmappable` where one of them is unknown."""
        said = self.instruction or (_text(record, mapping["instruction"]) if mapping.get("instruction") else None)
        said = said or record.instruction
        task = self.task or self._task(record.task, said)
        if not task:
            what = f"task {record.task!r}, instruction {said!r}"
            raise Unmappable("task_unknown", f"{what}: no task of suite {self.suite} is called so; --task says which")
        if not said and self.suite in suites.SUITES:
            said = suites.instruction(self.suite, task)
        if not said:
            raise Unmappable("instruction_unknown", "the record has no instruction; --instruction says it")
        return task, said

    def _task(self, name: str | None, instruction: str | None) -> str | None:
        if self.suite not in suites.SUITES:
            return name or (slug(instruction) if instruction else None)
        tasks = suites.tasks(self.suite)
        if name in tasks:
            return name
        called: dict[str, list[str]] = defaultdict(list)
        for task in tasks:
            called[slug(suites.instruction(self.suite, task))].append(task)
        found = next((called[one] for one in map(slug, filter(None, (instruction, name))) if one in called), [])
        if len(found) > 1:
            reason = f"{instruction or name!r} is what {len(found)} tasks of suite {self.suite} are called"
            raise Unmappable("task_unknown", f"{reason}: {', '.join(found)}; --task says which")
        return found[0] if found else None


def slug(text: str) -> str:
    """`Pick up the bowl.` to `pick_up_the_bowl`, letters of any script."""
    return re.sub(r"[\W_]+", "_", unicodedata.normalize("NFKC", text).casefold()).strip("_")[:LONGEST_TASK]


def _text(record: Record, name: str) -> str | None:
    values = record.rows(name).ravel()
    first = values[0] if len(values) else None
    text = first.decode("utf-8", "replace") if isinstance(first, bytes) else first
    return text.strip() or None if isinstance(text, str) else None
