"""The mapping: which field of somebody else's record becomes which of ours, and how. Always printed, always stored.

A mapping is a few texts, so that what a person types, what is printed and what the lake keeps are the same:

    image        a field of pictures
    proprio      fields, joined
    actions      fields, joined to 7 numbers: translation, rotation, gripper
    scale        what translation and rotation are divided by: 1 or 6 numbers; a negative one turns its axis round
    gripper      OPEN:CLOSED, the file's values; they become 1 and -1
    success      all, none, FIELD or FIELD>=NUMBER; FIELD@state where it judges the state shown and not the one after
    progress     a field in [0, 1]; otherwise 1 where a state is a success and 0 where it is none
    instruction  a field of texts
    state        the field of the simulator's state before each action, the first of which is the initial state
    timestamp    a field of seconds
    fps          the recording's rate
    observed     before or after: does a row show the state before its action, or the one that it led to
    turn         none, vertical (flipped) or half (turned by 180 degrees): what sets a picture upright

"fields, joined" is NAME+NAME, each with an optional [FIRST:LAST] or [INDEX]; a number stands for a constant column.
"""

import re
from collections.abc import Mapping as Pairs
from dataclasses import dataclass

import numpy as np

from worldvla.errors import UserError
from worldvla.exchange.importing.record import Field, Record, Unmappable
from worldvla.lake.digests import digest

REQUIRED = ("image", "actions", "gripper", "success")
DEFAULTS = {"scale": "1", "observed": "before", "turn": "none"}
KEYS = (
    "image",
    "proprio",
    "actions",
    "scale",
    "gripper",
    "success",
    "progress",
    "instruction",
    "state",
    "timestamp",
    "fps",
    "observed",
    "turn",
)
CHOICES = {"observed": ("before", "after"), "turn": ("none", "vertical", "half")}
ALL, NONE = "all", "none"
UNKNOWN = "?"  # what no default can say
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")
_PART = re.compile(r"(?P<name>[^\[\]+]+)(\[(?P<first>\d+)(?P<range>:(?P<last>\d*))?\])?")
_SUCCESS = re.compile(r"(?P<field>.+?)(@(?P<at>state))?(>=(?P<least>[-+.\deE]+))?")
ARM = 6


@dataclass(frozen=True)
class Mapping:
    """The entries by key, complete and checked against the fields there are."""

    entries: dict[str, str]

    @property
    def digest(self) -> str:
        return digest(self.entries)

    def __getitem__(self, key: str) -> str:
        return self.entries[key]

    def get(self, key: str) -> str | None:
        return self.entries.get(key)

    @property
    def fps(self) -> float | None:
        return float(self.entries["fps"]) if "fps" in self.entries else None

    @property
    def success(self) -> tuple[str, bool, float | None]:
        """The field, whether it judges the state that its own row shows, and from which value on."""
        found = _SUCCESS.fullmatch(self.entries["success"])
        assert found
        least = float(found["least"]) if found["least"] else None
        return found["field"], found["at"] is not None, least

    def actions(self, record: Record) -> np.ndarray:
        """float32 [N, 7] in our convention; raises `Unmappable` where the shapes do not fit."""
        values = joined(record, self.entries["actions"])
        if values.shape[1] != ARM + 1:
            raise Unmappable("shape_mismatch", f"actions ({self['actions']}) are {values.shape[1]} numbers, not 7")
        opened, closed = (float(one) for one in self["gripper"].split(":"))
        middle, half = (opened + closed) / 2, (opened - closed) / 2
        arm = values[:, :ARM] / np.array(self["scale"].split(","), np.float64)
        return np.concatenate([arm, (values[:, ARM:] - middle) / half], 1).astype(np.float32)

    def proprio(self, record: Record) -> np.ndarray:
        """float32 [N, P]."""
        return joined(record, self.entries["proprio"]).astype(np.float32)


def build(defaults: Pairs[str, str], given: Pairs[str, str], fields: Pairs[str, Field]) -> Mapping:
    """What the format says, overridden by what a person says; raises `UserError` on anything that does not fit."""
    for key in given:
        if key not in KEYS:
            raise UserError(f"--map {key}=…: there is no such entry; there are: {', '.join(KEYS)}")
    said = {key: value for key, value in given.items() if value != "-"}
    entries = {**DEFAULTS, **{key: value for key, value in defaults.items() if given.get(key) != "-"}, **said}
    entries = {key: entries[key] for key in KEYS if key in entries}
    for key in REQUIRED:
        if key not in entries:
            raise UserError(_missing(key, fields))
    if entries["turn"] == UNKNOWN:
        raise UserError(
            "--map turn=…: nothing says which way up the pictures are, and files made from LIBERO's without its "
            "attributes have them upside down: look at one, and give none, vertical or half"
        )
    for key, choices in CHOICES.items():
        if entries[key] not in choices:
            raise UserError(f"--map {key}={entries[key]}: it is one of {', '.join(choices)}")
    _check_numbers(entries)
    for key in ("image", "progress", "instruction", "state", "timestamp"):
        if key in entries:
            _check_field(key, entries[key], fields)
    for key in ("actions", "proprio"):
        for name, _ in parts(entries.get(key, "")):
            _check_field(key, name, fields)
    if entries["success"] not in (ALL, NONE):
        _check_field("success", Mapping(entries).success[0], fields)
    return Mapping(entries)


def parse(texts: list[str]) -> dict[str, str]:
    """`["actions=action[0:7]", …]` to a dict; raises `UserError`."""
    given = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key.strip() or not value.strip():
            raise UserError(f"--map {text!r}: write it as KEY=FIELD, for example actions=action; KEY=- leaves it out")
        given[key.strip()] = value.strip()
    return given


def parts(text: str) -> list[tuple[str, slice]]:
    """`a[0:3]+b` to names and their columns; constant columns are left out."""
    return [(name, columns) for name, columns in _terms(text) if not _NUMBER.fullmatch(name)]


def joined(record: Record, text: str) -> np.ndarray:
    """float64 [N, C]: the fields side by side."""
    columns: list[np.ndarray | float] = []
    for name, cut in _terms(text):
        if _NUMBER.fullmatch(name):
            columns.append(float(name))
            continue
        values = record.rows(name)
        if values.dtype.kind not in "fiub" or values.ndim not in (1, 2):
            raise Unmappable("shape_mismatch", f"{name} is {what(values)}, not numbers a step")
        wide = values if values.ndim == 2 else values[:, None]
        last = cut.stop or (0 if cut.start is None else cut.start + 1)
        if last > wide.shape[1]:
            raise Unmappable("shape_mismatch", f"{name} has {wide.shape[1]} numbers a row, and {text} asks for {last}")
        columns.append(wide[:, cut].astype(np.float64))
    lengths = {len(one) for one in columns if isinstance(one, np.ndarray)}
    if len(lengths) != 1:
        raise Unmappable("shape_mismatch", f"{text}: the fields have {sorted(lengths) or 'no'} rows")
    [length] = lengths
    return np.concatenate([np.full((length, 1), c) if isinstance(c, float) else c for c in columns], 1)


def what(values: np.ndarray) -> str:
    """Type and shape, or of texts the first that is no number."""
    for row, one in enumerate(values.ravel() if values.dtype.kind == "O" else ()):
        if isinstance(one, str) and not _NUMBER.fullmatch(one.strip()):
            return f"text ({one!r} in row {row})"
    return f"{values.dtype} {list(values.shape)}"


def _terms(text: str) -> list[tuple[str, slice]]:
    terms = []
    for part in filter(None, (one.strip() for one in text.split("+"))):
        found = _PART.fullmatch(part)
        if not found:
            raise UserError(f"--map: {part!r} is no field; write NAME, NAME[INDEX] or NAME[FIRST:LAST], joined by +")
        if found["first"] is None:
            cut = slice(None)
        elif found["range"]:
            cut = slice(int(found["first"]), int(found["last"]) if found["last"] else None)
        else:
            cut = slice(int(found["first"]), int(found["first"]) + 1)
        terms.append((found["name"].strip(), cut))
    return terms


def _check_numbers(entries: Pairs[str, str]) -> None:
    scale = entries["scale"].split(",")
    if len(scale) not in (1, ARM) or not all(_NUMBER.fullmatch(one.strip()) and float(one) for one in scale):
        raise UserError(f"--map scale={entries['scale']}: give 1 or 6 numbers other than 0, separated by commas")
    gripper = entries["gripper"].split(":")
    if (
        len(gripper) != 2
        or not all(_NUMBER.fullmatch(one) for one in gripper)
        or float(gripper[0]) == float(gripper[1])
    ):
        raise UserError(f"--map gripper={entries['gripper']}: give OPEN:CLOSED, two different numbers, for example 1:0")
    if "fps" in entries and not (_NUMBER.fullmatch(entries["fps"]) and float(entries["fps"]) > 0):
        raise UserError(f"--map fps={entries['fps']}: give a positive number")
    if not (found := _SUCCESS.fullmatch(entries["success"])) or (
        found["least"] and not _NUMBER.fullmatch(found["least"])
    ):
        raise UserError(f"--success {entries['success']}: give all, none, FIELD, FIELD>=NUMBER or FIELD@state")


def exactly(rate: float) -> str:
    """Frames/s with every digit, as the entry `fps` holds them."""
    return str(int(rate)) if float(rate).is_integer() else repr(float(rate))


def _check_field(key: str, name: str, fields: Pairs[str, Field]) -> None:
    if name not in fields:
        raise UserError(f"{key}: the dataset has no field {name!r}; it has: {_listed(fields)}. --map {key}=FIELD")


def _missing(key: str, fields: Pairs[str, Field]) -> str:
    if key == "success":
        numbers = [name for name, one in fields.items() if one.shape in ((), (1,)) and one.dtype[0] in "fiub"]
        some = f" (here perhaps {', '.join(numbers[:6])})" if numbers else ""
        return (
            "--success: the dataset does not say which episodes succeeded, and unknown is not failure; "
            f"give all, none, or a field that says{some}"
        )
    if key == "gripper":
        return (
            "--map gripper=OPEN:CLOSED: the dataset does not say which value of its last action opens the gripper, and "
            "a policy that learns it the wrong way round never grasps; for example 1:0, 0:1, 1:-1 or -1:1"
        )
    return f"--map {key}=FIELD: say which field; the dataset has: {_listed(fields)}"


def _listed(fields: Pairs[str, Field]) -> str:
    return ", ".join(f"{name} ({field})" for name, field in sorted(fields.items()))
