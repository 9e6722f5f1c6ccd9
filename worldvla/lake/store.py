"""The lake: a folder of Lance tables, written so that keys hold and nothing is ever half there.

Lance commits are atomic and optimistic, and its declared primary keys are "unenforced": two
writers that insert the same new keys at once both succeed when the transaction goes through
`merge_insert(...).execute_uncommitted()`, the only route that carries transaction properties
(pylance 14 drops the key filter there). So each table has one writer at a time, by an
advisory lock that the operating system releases when its holder dies, and an insert is:
read the keys that are there, append the rows that are missing, in their order, in one commit.
See docs/decisions/lake-writes.md. A lake may also be on an object store, where other machines
see no such lock: `worldvla.lake.object_store`.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import lance
import polars as pl
import pyarrow as pa
from lance.commit import CommitConflictError

from worldvla.home import lake_root
from worldvla.lake import object_store
from worldvla.lake.commit import Commit
from worldvla.lake.faults import explained
from worldvla.lake.tables import TABLES, Table

# An IN list longer than this costs more to compare than reading the key column whole.
LONGEST_IN_LIST = 1000
# Writers outside this project take no lock: a commit they overtook is made anew, this often.
COMMIT_ATTEMPTS = 10


def quoted(value: Any) -> str:
    """A value as an SQL literal of a Lance filter."""
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def is_in(column: str, values: list) -> str:
    """The Lance filter `column IN (values)`; true of no row when there are none."""
    return f"{column} IN ({', '.join(map(quoted, values))})" if values else "1 = 0"


class Lake:
    """The tables under `root`. Holds no state: every call sees the newest version."""

    def __init__(self, root: Path | str):
        self.is_remote = object_store.is_remote(root)
        self.root = str(root) if self.is_remote else Path(root)

    @classmethod
    def default(cls) -> "Lake":
        """The lake in the project's home, or where `WORLDVLA_LAKE` says."""
        return cls(lake_root())

    def path(self, table: str) -> Path | str:
        """The table's folder, or its address on an object store."""
        name = f"{TABLES[table].name}.lance"
        return f"{self.root}/{name}" if self.is_remote else Path(self.root) / name

    def exists(self, table: str) -> bool:
        """Whether the table was ever opened for use: it is there with its first version, not with its folder. One that
        has lost its versions and not its data is there, and damaged."""
        if self.is_remote:
            return object_store.exists(str(self.path(table)))
        return self._has(table, "_versions", ".manifest") or self._has(table, "data", "")

    def open(self, table: str) -> lance.LanceDataset:
        """The newest version; makes the empty table on first use, and adds the columns that an older one lacks."""
        if not self.exists(table):
            with self._writing(table):
                if self.is_remote:
                    object_store.create(str(self.path(table)), TABLES[table].empty())
                elif not self.exists(table):
                    lance.write_dataset(TABLES[table].empty(), self.path(table), mode="create")
        return self._newest(table)

    def _newest(self, table: str) -> lance.LanceDataset:
        """The newest version of a table that is there, with all of its columns."""
        with explained(self.path(table), table):
            dataset = lance.dataset(self.path(table))
            return self._with_all_columns(dataset, table) if _lacking(dataset, table) else dataset

    def _has(self, table: str, folder: str, suffix: str) -> bool:
        place = Path(self.path(table)) / folder
        with explained(self.path(table), table), suppress(FileNotFoundError), os.scandir(place) as entries:
            return any(entry.name.endswith(suffix) for entry in entries)
        return False

    def version(self, table: str) -> int:
        """The number of the newest version."""
        return self.open(table).version

    def versions(self) -> dict[str, int]:
        """The newest version of every table that is in use."""
        return {table: self.version(table) for table in TABLES if self.exists(table)}

    def insert(self, table: str, rows: pa.Table | list[dict], commit: Commit) -> int:
        """Adds the rows whose keys are not there yet, in one commit; rows that are there stay as they are.

        Returns the table's version: a new one only if something was added. Of rows with equal
        keys the first counts. Raises `ValueError` on a null key or an unknown column.
        """
        spec = TABLES[table]
        incoming = _arrow(spec, rows)
        for key in spec.keys:
            if incoming[key].null_count:
                raise ValueError(f"table {table}: key {key} of a row is null")
        dataset = self.open(table)
        if not incoming.num_rows:
            return dataset.version
        with self._writing(table):
            while True:
                dataset.checkout_latest()
                missing = _missing(dataset, spec, incoming)
                if not len(missing):
                    return dataset.version
                rows = incoming.take(pa.array(missing))
                if not self.is_remote:
                    return self._add(table, rows, commit)
                version = object_store.append_unless_changed(dataset, rows, commit.properties())
                if version is not None:
                    return version

    def append(self, table: str, rows: pa.Table | list[dict], commit: Commit) -> int:
        """Adds all rows in one commit, for tables without a key; returns the new version."""
        incoming = _arrow(TABLES[table], rows)
        self.open(table)
        with self._writing(table):
            return self._add(table, incoming, commit)

    def upsert(self, table: str, rows: pa.Table | list[dict], commit: Commit) -> int:
        """Adds the rows, in place of those with the same keys, in one commit; returns the new version."""
        spec = TABLES[table]
        incoming = _arrow(spec, rows)

        def merged(dataset: lance.LanceDataset) -> lance.Transaction:
            merge = dataset.merge_insert(list(spec.keys)).when_matched_update_all().when_not_matched_insert_all()
            return merge.execute_uncommitted(incoming)[0]

        return self._commit(table, merged, commit)

    def delete(self, table: str, where: str, commit: Commit | None = None) -> int:
        """Removes the rows for which the SQL predicate holds, in one commit; returns the version after it."""

        def deleted(dataset: lance.LanceDataset) -> lance.Transaction | None:
            before = {fragment.fragment_id: fragment for fragment in dataset.get_fragments()}
            after = {number: fragment.delete(where) for number, fragment in before.items()}
            gone = [number for number, fragment in after.items() if fragment is None]
            changed = [one for number, one in after.items() if one is not None and one != before[number].metadata]
            if not gone and not changed:
                return None
            return lance.Transaction(dataset.version, lance.LanceOperation.Delete(changed, gone, where))

        return self._commit(table, deleted, commit or Commit(run_id="", asset="deletion"))

    def tag(self, table: str, name: str, version: int, move: bool = False) -> None:
        """Names a version, which keeps it from being cleaned up; a name that exists stays where it is unless `move`.

        Lance allows letters, digits, '.', '_' and '-' in a name.
        """
        dataset = self.open(table)
        with self._writing(table):
            try:
                dataset.tags.create(name, version)
            except ValueError:
                if dataset.tags.get_version(name) != version and move:
                    dataset.tags.update(name, version)

    def untag(self, table: str, name: str) -> None:
        """Lets go of a name; one that does not exist is no error."""
        dataset = self.open(table)
        with self._writing(table):
            if name in dataset.tags.list():
                dataset.tags.delete(name)

    def tags(self, table: str) -> dict[str, int]:
        """The named versions of a table."""
        return {name: tag["version"] for name, tag in self.open(table).tags.list().items()}

    @contextmanager
    def exclusive(self, table: str) -> Iterator[lance.LanceDataset]:
        """The newest version, which stays the newest while this is held: for upkeep of the table's files."""
        dataset = self.open(table)
        with self._writing(table):
            dataset.checkout_latest()
            yield dataset

    @contextmanager
    def reading(self, table: str) -> Iterator[lance.LanceDataset]:
        """The newest version, for what `read` cannot ask: a damaged file ends the block with its table and its name."""
        dataset = self.open(table)
        with explained(self.path(table), table):
            yield dataset

    def read(self, table: str, columns: list[str] | None = None, where: str | None = None) -> pa.Table:
        """Rows of the newest version; without `columns`, all but the heavy ones. A table not in use has none, and is
        not made by this."""
        if not self.exists(table):
            return TABLES[table].empty().select(columns or TABLES[table].light)
        dataset = self._newest(table)
        with explained(self.path(table), table):
            return dataset.to_table(columns=columns or TABLES[table].light, filter=where)

    def frame(self, table: str, columns: list[str] | None = None, where: str | None = None) -> pl.DataFrame:
        """`read` as a polars frame."""
        return pl.DataFrame(pl.from_arrow(self.read(table, columns, where)))

    def _with_all_columns(self, dataset: lance.LanceDataset, table: str) -> lance.LanceDataset:
        """Columns that the table has been given since this dataset was made: null in every row, no row is rewritten."""
        with self._writing(table):
            dataset.checkout_latest()
            if lacking := _lacking(dataset, table):
                dataset.add_columns(pa.schema([field.with_nullable(True) for field in lacking]))
        return dataset

    def _add(self, table: str, rows: pa.Table, commit: Commit) -> int:
        dataset = lance.write_dataset(rows, self.path(table), mode="append", transaction_properties=commit.properties())
        return dataset.version

    def _commit(
        self, table: str, make: Callable[[lance.LanceDataset], lance.Transaction | None], commit: Commit
    ) -> int:
        """Commits the transaction that `make` derives from the newest version, anew when another writer was faster."""
        dataset = self.open(table)
        with self._writing(table):
            for attempt in range(COMMIT_ATTEMPTS):
                dataset.checkout_latest()
                transaction = make(dataset)
                if transaction is None:
                    return dataset.version
                transaction.transaction_properties = commit.properties()
                try:
                    return lance.LanceDataset.commit(dataset, transaction, max_retries=0).version
                except CommitConflictError:
                    if attempt == COMMIT_ATTEMPTS - 1:
                        raise
        raise AssertionError("unreachable")

    @contextmanager
    def _writing(self, table: str) -> Iterator[None]:
        folder = object_store.lock_folder(str(self.root)) if self.is_remote else Path(self.root)
        with explained(self.path(table), table):
            folder.mkdir(parents=True, exist_ok=True)
            with open(folder / f"{TABLES[table].name}.lock", "w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield


def _lacking(dataset: lance.LanceDataset, table: str) -> list[pa.Field]:
    present = set(dataset.schema.names)
    return [field for field in TABLES[table].schema if field.name not in present]


def _arrow(spec: Table, rows: pa.Table | list[dict]) -> pa.Table:
    return spec.arrow(rows) if isinstance(rows, list) else rows.select(spec.schema.names).cast(spec.schema)


def _missing(dataset: lance.LanceDataset, spec: Table, incoming: pa.Table) -> list[int]:
    """Indices of the incoming rows whose keys the dataset lacks, the first of equal keys, ascending."""
    keys = list(spec.keys)
    leading = incoming[keys[0]].unique().to_pylist()
    where = is_in(keys[0], leading) if len(leading) <= LONGEST_IN_LIST else None
    present = pl.DataFrame(pl.from_arrow(dataset.to_table(columns=keys, filter=where)))
    wanted = pl.DataFrame(pl.from_arrow(incoming.select(keys))).with_row_index("row")
    wanted = wanted.unique(subset=keys, keep="first", maintain_order=True)
    return wanted.join(present, on=keys, how="anti")["row"].sort().to_list()
