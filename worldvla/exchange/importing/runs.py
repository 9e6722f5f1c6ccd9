"""Tables that are larger than memory, one run of rows at a time: consecutive rows of one key are a record."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from worldvla.exchange.importing.record import Unmappable

ROWS = 256  # rows read at once


def runs(batches: Iterable[pa.RecordBatch], key: str) -> Iterator[tuple[Any, pa.Table]]:
    """Each key with its consecutive rows, in the order of the table; rows without a key have None."""
    pending: list[pa.RecordBatch] = []
    current: Any = None
    for batch in batches:
        values = batch.column(key)
        begin = 0
        while begin < len(batch):
            value = values[begin].as_py()
            alike = pc.is_null(values) if value is None else pc.equal(values, values[begin]).fill_null(False)
            same = alike.to_numpy(zero_copy_only=False)
            differing = np.flatnonzero(~same[begin:])
            end = begin + int(differing[0]) if len(differing) else len(batch)
            if pending and value != current:
                yield current, pa.Table.from_batches(pending)
                pending = []
            current = value
            pending.append(batch.slice(begin, end - begin))
            begin = end
    if pending:
        yield current, pa.Table.from_batches(pending)


def column(table: pa.Table, name: str) -> np.ndarray:
    """A column as [N] or [N, D]; raises `Unmappable` where it is not there or its lists differ in length."""
    if name not in table.column_names:
        raise Unmappable("field_missing", f"the table has no column {name}")
    values = table[name].combine_chunks()
    kind = values.type
    if not (pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind)):
        return np.asarray(values.to_numpy(zero_copy_only=False))
    lengths = set(pc.list_value_length(values).to_pylist())
    if len(lengths) > 1 or None in lengths:
        raise Unmappable("shape_mismatch", f"rows of {name} are of lengths {sorted(map(str, lengths))}")
    flat = np.asarray(values.flatten().to_numpy(zero_copy_only=False))
    return flat.reshape(len(values), -1)
