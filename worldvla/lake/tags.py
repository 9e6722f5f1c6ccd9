"""Names of table versions: what keeps a version from being cleaned up, and on whose behalf.

| tag | table | keeps |
|---|---|---|
| `model-MODEL` | episodes | the version that this model's membership names |
| `training-FINGERPRINT` | the table read | the version that this training read and told MLflow |
| `iteration.CAMPAIGN.ITERATION` | all in use | the versions that the row of `iterations` names |
| `pin.NAME` | all in use | the whole lake as it was when somebody pinned it |
| `pin.NAME.MODEL` | models | this model and whatever it came from |

Any other tag was set by a person with Lance's own tools, and counts as a pin of that version: `model-backup`
too, for what follows the dash is no model.
"""

import json
import re
from dataclasses import dataclass
from typing import Literal

from worldvla.errors import UserError
from worldvla.lake.store import Lake
from worldvla.lake.tables import TABLES

NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")
PIN = "pin."

Kind = Literal["model", "training", "iteration", "pinned lake", "pinned model", "other"]
OURS: dict[Kind, re.Pattern[str]] = {
    "model": re.compile(r"model-([0-9a-f]{32})"),
    "training": re.compile(r"training-([0-9a-f]{32})"),
    "iteration": re.compile(r"iteration\.(.+\.[0-9]{4,})"),
}


@dataclass(frozen=True)
class Tag:
    """A tag of one table taken apart. `subject`: the model, fingerprint, CAMPAIGN.ITERATION or pin's name."""

    name: str
    kind: Kind
    subject: str
    model: str = ""

    @property
    def holds_all(self) -> bool:
        """Whether every row of the version is wanted, not just what somebody needs of it."""
        return self.kind in ("pinned lake", "other")


def parse(name: str) -> Tag:
    """What a tag's name says."""
    for kind, pattern in OURS.items():
        if named := pattern.fullmatch(name):
            return Tag(name, kind, named[1])
    if name.startswith(PIN):
        pinned, _, model = name.removeprefix(PIN).partition(".")
        return Tag(name, "pinned model" if model else "pinned lake", pinned, model)
    return Tag(name, "other", name)


def tags(lake: Lake, table: str) -> dict[Tag, int]:
    """The tags of a table and the versions they name."""
    return {parse(name): version for name, version in lake.tags(table).items()}


def vectors(lake: Lake) -> dict[tuple[str, str], dict[str, int]]:
    """Every (campaign, iteration) and the table versions that its row names."""
    if not lake.exists("iterations"):
        return {}
    rows = lake.read("iterations", ["campaign", "iteration", "tables"]).to_pylist()
    return {(row["campaign"], row["iteration"]): json.loads(row["tables"]) for row in rows}


def tag_iteration(lake: Lake, campaign: str, iteration: str, versions: dict[str, int]) -> None:
    """Keeps the versions that an iteration's row names, in place of those that an earlier row named."""
    for table, version in versions.items():
        lake.tag(table, f"iteration.{campaign}.{iteration}", version, move=True)


def tag_training(lake: Lake, table: str, fingerprint: str) -> int:
    """Keeps the newest version for the training with this fingerprint, and returns its number.

    A training that was killed keeps the version that it told MLflow when it began.
    """
    name = f"training-{fingerprint}"
    lake.tag(table, name, lake.version(table))
    return lake.tags(table)[name]


def pin(lake: Lake, name: str, model: str | None = None) -> list[dict]:
    """Keeps a model with all it came from, or the whole lake as it is now; returns what was tagged.

    Raises `UserError` on a name that is taken or that Lance would not take.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"pin {name!r}: use letters, digits, '_' and '-' only, at most 60")
    if any(found["pin"] == name for found in pins(lake)):
        raise UserError(f"pin {name!r} exists: choose another name, or `worldvla retain unpin {name}` first")
    versions = {"models": lake.version("models")} if model else lake.versions()
    if not versions:
        raise UserError(f"nothing is pinned as {name!r}: the lake {lake.root} holds no table yet")
    for table, version in versions.items():
        lake.tag(table, f"{PIN}{name}.{model}" if model else f"{PIN}{name}", version)
    return [found for found in pins(lake) if found["pin"] == name]


def unpin(lake: Lake, name: str) -> None:
    """Lets go of a pin; raises `UserError` where there is none."""
    held = [found for found in pins(lake) if found["pin"] == name]
    if not held:
        known = ", ".join(sorted({found["pin"] for found in pins(lake)})) or "none"
        raise UserError(f"there is no pin {name!r}; there is: {known}")
    for found in held:
        lake.untag(found["table"], found["tag"])


def pins(lake: Lake) -> list[dict]:
    """Every pinned version: pin, table, version, model (None: the whole version), tag."""
    return [
        {"pin": tag.subject, "table": table, "version": version, "model": tag.model or None, "tag": tag.name}
        for table in TABLES
        if lake.exists(table)
        for tag, version in tags(lake, table).items()
        if tag.kind in ("pinned lake", "pinned model", "other")
    ]
