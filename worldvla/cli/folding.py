"""Many iterations in few lines: rows of one asset that say the same of consecutive iterations become one row."""

from collections.abc import Sequence
from typing import Any

MANY = 60  # rows of a table that a person reads one by one
MOST = 200


def folded(rows: list[dict[str, Any]], same: Sequence[str], sums: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The rows as they are where they are few, else one for each stretch in which the fields `same` do not change.

    A stretch shows its first row, its iterations as `0002..0005`, the newest `materialized_at`,
    no version, and the sum of the fields `sums`.
    """
    if len(rows) <= MANY:
        return rows
    stretches: list[dict[str, Any]] = []
    open_: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        place = row["campaign"], row["asset"]
        begun = open_.get(place)
        if begun and row["iteration"] and all(begun[name] == row[name] for name in same) and _follows(begun, row):
            begun["last"] = row["iteration"]
            begun |= {name: row[name] for name in ("materialized_at",) if name in row}
            begun |= {name: _sum(begun[name], row[name]) for name in sums}
        else:
            open_[place] = row | {"last": row["iteration"]}
            stretches.append(open_[place])
    for one in stretches:
        if one["last"] != one["iteration"]:
            one |= {"iteration": f"{one['iteration']}..{one['last']}", "version": None}
    return stretches


def _follows(begun: dict[str, Any], row: dict[str, Any]) -> bool:
    return begun["last"] is not None and int(row["iteration"]) == int(begun["last"]) + 1


def _sum(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left + right
