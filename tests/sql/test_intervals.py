"""The intervals that the audits compute are those of `worldvla.alignment.intervals`."""

from collections.abc import Iterator

import duckdb
import pytest

from worldvla.alignment.intervals import paired_difference, wilson
from worldvla.lake.query import connect
from worldvla.lake.store import Lake


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(Lake(tmp_path_factory.mktemp("lake"))) as connection:
        yield connection


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (18, 20), (1, 3), (120, 200)])
def test_wilson(connection: duckdb.DuckDBPyConnection, k: int, n: int) -> None:
    [row] = connection.sql("SELECT wilson_low($k, $n), wilson_high($k, $n)", params={"k": k, "n": n}).fetchall()
    assert row == pytest.approx(wilson(k, n))


@pytest.mark.parametrize(
    "pairs", [(4, 2, 0, 4), (10, 0, 0, 0), (0, 5, 0, 5), (1, 2, 3, 4), (60, 20, 5, 15), (0, 3, 3, 0)]
)
def test_paired_difference(connection: duckdb.DuckDBPyConnection, pairs: tuple[int, int, int, int]) -> None:
    kept, gained, dropped, lost = pairs
    before = [True] * kept + [False] * gained + [True] * dropped + [False] * lost
    after = [True] * kept + [True] * gained + [False] * dropped + [False] * lost
    query = "SELECT paired_low(a, b, c, d), paired_high(a, b, c, d) FROM (SELECT $a AS a, $b AS b, $c AS c, $d AS d)"
    [row] = connection.sql(query, params=dict(zip("abcd", pairs, strict=True))).fetchall()
    assert row == pytest.approx(paired_difference(before, after)[1:])
