"""The formats by name, and opening a dataset of one: what `worldvla import FORMAT PATH` means."""

import importlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from worldvla.errors import UserError
from worldvla.exchange.importing import mapping
from worldvla.exchange.importing.assembling import IMAGE_SIZE, Recipe
from worldvla.exchange.importing.record import Archive, Field
from worldvla.exchange.importing.words import Words
from worldvla.lake.names import did_you_mean

# Format → the module that has `open_archive(path, suite)`, and what the format is.
FORMATS = {
    "libero": ("libero_hdf5", "LIBERO or robomimic HDF5: a file, or a folder of them"),
    "maniskill": ("maniskill_hdf5", "ManiSkill trajectories: HDF5 with the JSON file beside it"),
    "lerobot": ("lerobot", "LeRobot v2.1 or v3.0: a folder, or a dataset's id on the hub, OWNER/NAME"),
    "rlds": ("rlds", "RLDS as Open X-Embodiment uses it: a folder of TFRecord files with features.json"),
    "videos": ("video_folder", "a folder of videos and a CSV or Parquet table of their actions"),
}
VERSION = re.compile(r"\d+(\.\d+)+")
LONGEST_NAME = 80


@dataclass(frozen=True)
class Source:
    """A dataset that was opened, and what is to be made of it."""

    archive: Archive
    recipe: Recipe
    fields: dict[str, Field]


def open_source(
    format: str, path: str, suite: str, name: str | None, words: Words, given: dict[str, str], chunk: int
) -> Source:
    """Raises `UserError` on an unknown format, a path that holds no such dataset, and a mapping that does not fit."""
    if format not in FORMATS:
        raise UserError(
            f"there is no format {format!r}{did_you_mean(format, FORMATS)}; there are: {', '.join(FORMATS)}"
        )
    if chunk < 1:
        raise UserError(f"--chunk {chunk}: give a positive number of actions")
    path = os.path.abspath(path) if os.path.exists(path) else path  # what is kept must lead there from anywhere
    module = importlib.import_module(f"worldvla.exchange.importing.{FORMATS[format][0]}")
    archive = module.open_archive(path, suite)
    fields = archive.fields()
    built = mapping.build(archive.defaults(), given, fields)
    return Source(archive, Recipe(name or _named(path), format, suite, words, built, chunk), fields)


def _named(path: str) -> str:
    """A name from a path or a hub's id; raises `UserError` where that makes none."""
    where = Path(path)
    parts = [where.stem if where.is_file() else where.name]
    if VERSION.fullmatch(where.name):  # NAME/1.0.0, as TensorFlow Datasets lays datasets out
        parts = [where.parent.name, where.name]
    name = re.sub(r"[^a-z0-9]+", "_", " ".join(parts).casefold()).strip("_")[:LONGEST_NAME]
    if not name:
        raise UserError(f"--name: {path} has no letter or digit of a-z and 0-9 to be called by; say a name")
    return name


def printed(source: Source) -> list[dict[str, str | None]]:
    """The mapping for a person: which field becomes which of ours, and how."""
    recipe, fields = source.recipe, source.fields
    entries = recipe.mapping.entries
    one_row = "the state before its action" if entries["observed"] == "before" else "the state its action led to"
    picture = fields[entries["image"]]
    turned = {"none": "", "vertical": "flipped top to bottom, ", "half": "turned by 180 degrees, "}[entries["turn"]]
    scale, gripper = entries["scale"], entries["gripper"]
    least = recipe.mapping.success[2]
    success = {
        "all": "every episode succeeds, in its last state",
        "none": "no episode succeeds",
    }.get(entries["success"], f"a state is a success from {1 if least is None else least:g} on")
    opened, closed = gripper.split(":")
    rows = [
        ("image", entries["image"], f"{picture}; {turned}resized to {IMAGE_SIZE} x {IMAGE_SIZE}, JPEG"),
        ("proprio", entries.get("proprio"), "joined" if entries.get("proprio") else "none"),
        (
            "actions",
            entries["actions"],
            f"translation and rotation {'as they are' if scale == '1' else f'divided by {scale}'}; "
            f"gripper {opened} is open (1), {closed} closed (-1)",
        ),
        ("rows", None, f"a row shows {one_row}; the first actions beyond whole chunks of {recipe.chunk} are left out"),
        ("success", entries["success"], success),
        ("progress", entries.get("progress"), "as it is" if entries.get("progress") else "1 at success, otherwise 0"),
        ("task", recipe.words.task, "said" if recipe.words.task else "as the record says, or by its instruction"),
        (
            "instruction",
            recipe.words.instruction or entries.get("instruction"),
            "said" if recipe.words.instruction else "as the record says, otherwise as the suite says",
        ),
        (
            "initial state",
            entries.get("state"),
            "decides the split" if entries.get("state") else "first row and picture",
        ),
        ("timestamp", entries.get("timestamp"), "seconds" if entries.get("timestamp") else "none"),
        ("fps", entries.get("fps"), "declared" if entries.get("fps") else "unknown"),
    ]
    rows += [(about, None, how) for about, how in source.archive.notes().items()]
    return [{"ours": ours, "theirs": theirs, "how": how} for ours, theirs, how in rows]
