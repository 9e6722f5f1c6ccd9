"""Writing a text file so that whoever reads it, also after a kill, meets it as it was or as it is to be."""

import os
import uuid
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Replaces the file at once; its folder is made where it is not there.

    Two that write at once do not mix, and the last one counts.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
