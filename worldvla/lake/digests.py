"""Digests: the names of content. Equal content has an equal name, whoever wrote it and in whatever order."""

import hashlib
import json
import math
from collections.abc import Iterable
from typing import Any

DIGEST_LENGTH = 32


def canonical_json(obj: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces; numpy values as plain numbers and lists.

    JSON has no NaN or infinity: they become the strings "nan", "inf" and "-inf". Bytes become
    the SHA-256 of their content. Raises `TypeError` for anything else that JSON cannot hold.
    """
    return json.dumps(_plain(obj), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(obj: Any) -> str:
    """32 hexadecimal digits that name a JSON-able value."""
    return hashlib.sha256(canonical_json(obj).encode()).hexdigest()[:DIGEST_LENGTH]


def set_version(pairs: Iterable[tuple[str, str]]) -> str:
    """Names a set of episodes by its (episode_id, content_digest) pairs, whatever their order."""
    return digest(["episode_set", sorted({tuple(pair) for pair in pairs})])


def rows_version(rows: Iterable[dict[str, Any]]) -> str:
    """Names a collection of rows, whatever their order."""
    return digest(["rows", sorted(canonical_json(row) for row in rows)])


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return hashlib.sha256(value).hexdigest()
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


# A set of no episodes: every campaign that has one publishes the same. `empty_set()` in SQL.
EMPTY_SET = set_version([])
