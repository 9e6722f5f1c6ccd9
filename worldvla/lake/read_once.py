"""A Lance table that several scans of one query share: each column is read when first asked for, and once.

Publications are appended one row at a time, so their table is many small files, and views
scan it again and again. DuckDB asks a dataset for the columns that a scan needs, so what
nobody asks for is never read.
"""

import re
from typing import Any

import lance
import pyarrow as pa
import pyarrow.dataset


class ReadOnce(pyarrow.dataset.Dataset):
    """The columns `names` of one version of a table, kept in memory once read."""

    def __init__(self, dataset: lance.LanceDataset, names: list[str]) -> None:
        self._dataset = dataset
        self._schema = pa.schema([dataset.schema.field(name) for name in names])
        self._columns: dict[str, pa.ChunkedArray] = {}

    @property
    def schema(self) -> pa.Schema:
        return self._schema

    def scanner(self, columns: list[str] | None = None, **options: Any) -> pyarrow.dataset.Scanner:
        """A scan of these columns, or of all; `options` as pyarrow's `Dataset.scanner` takes them."""
        wanted = self._schema.names if columns is None else columns
        # A filter may look at columns that are not wanted; an expression tells them only in its text.
        filtered = set(re.findall(r"\w+", str(options.get("filter"))))
        held = [name for name in self._schema.names if name in wanted or name in filtered]
        # A scan for the number of rows alone names no column.
        held = held or self._schema.names[:1]
        if missing := [name for name in held if name not in self._columns]:
            read = self._dataset.to_table(columns=missing)
            self._columns |= {name: read[name] for name in missing}
        table = pa.table({name: self._columns[name] for name in held})
        return pyarrow.dataset.dataset(table).scanner(columns=wanted, **options)
