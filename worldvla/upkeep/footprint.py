"""Bytes of a table: what it takes, and what would be freed without some of its rows and versions.

A Lance version names whole files. A file is freed once no version that stays names it; of
a version's fragments those go whose rows all go. Blobs lie in a folder beside their data file.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import lance
import polars as pl

from worldvla.lake.faults import file_sizes

SCANNED_ROWS = 1 << 20


@dataclass(frozen=True)
class Footprint:
    """`total` and `freed` in bytes; `removed` rows of `rows`."""

    rows: int
    removed: int
    total: int
    freed: int


def footprint(
    dataset: lance.LanceDataset, column: str, removable: pl.Series | None, staying: Iterable[int]
) -> Footprint:
    """What the table takes, and what is freed when the rows whose `column` is in `removable` and all versions but
    the newest and those `staying` are gone."""
    rows, going = _counts(dataset, column, removable)
    dropped = {fragment for fragment, count in rows.items() if going[fragment] == count}
    kept = {
        _stem(f"data/{file.path}")
        for fragment in dataset.get_fragments()
        if fragment.fragment_id not in dropped
        for file in fragment.data_files()
    }
    tracked = dataset.tracked_files().read_all().select(["version", "path"]).to_pylist()
    staying = set(staying)
    for one in tracked:
        if one["version"] in staying:
            kept.add(_stem(one["path"]))
        elif one["version"] == dataset.version and not one["path"].startswith("data/"):
            kept.add(_stem(one["path"]))
    sizes = file_sizes(dataset)
    freed = sum(
        size
        for path, size in sizes.items()
        if path.split("/")[0] in ("data", "_versions", "_transactions", "_deletions")
        and not path.endswith("latest_version_hint.json")
        and _stem(path) not in kept
    )
    return Footprint(sum(rows.values()), sum(going.values()), sum(sizes.values()), freed)


def orphans(dataset: lance.LanceDataset) -> dict[str, int]:
    """Files of rows that no version names, with their bytes: what writers left that were killed before their commit."""
    named = {_stem(path) for path in dataset.tracked_files().read_all()["path"].to_pylist()}
    return {
        path: size
        for path, size in file_sizes(dataset).items()
        if path.startswith(("data/", "_deletions/")) and _stem(path) not in named
    }


def _stem(path: str) -> str:
    """The file that a path belongs to: blobs lie in the folder `data/NAME/` of the data file `data/NAME.lance`."""
    return "/".join(path.removesuffix(".lance").split("/")[:2])


def _counts(dataset: lance.LanceDataset, column: str, removable: pl.Series | None) -> tuple[Counter, Counter]:
    """Rows of each fragment, and those of them that go."""
    if removable is None or not len(removable):
        return Counter({one.fragment_id: one.count_rows() for one in dataset.get_fragments()}), Counter()
    rows: Counter[int] = Counter()
    going: Counter[int] = Counter()
    columns = [] if column == "_rowid" else [column]
    for batch in dataset.scanner(columns=columns, with_row_id=True, batch_size=SCANNED_ROWS).to_batches():
        frame = pl.DataFrame(pl.from_arrow(batch)).select(
            fragment=pl.col("_rowid") // 2**32, gone=pl.col(column).is_in(removable.implode())
        )
        for fragment, count, gone in frame.group_by("fragment").agg(pl.len(), pl.col("gone").sum()).iter_rows():
            rows[fragment] += count
            going[fragment] += gone
    return rows, going
