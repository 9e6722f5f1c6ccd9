"""Great Expectations suites as asset checks."""

import polars as pl

from assets.publication import Check
from worldvla.curation.expectations import run_suite


def suite_check(name: str, frame: pl.DataFrame, **context: object) -> Check:
    """Runs the suite of this name; its failing expectations, with the ids at fault, become the check's metadata."""
    result = run_suite(name, frame, **context)
    failing = [expectation for expectation in result.expectations if not expectation["success"]]
    return Check(
        name,
        result.success,
        f"{len(result.expectations)} expectations hold on {len(frame)} rows"
        if result.success
        else "; ".join(describe(expectation) for expectation in failing),
        metadata={"expectations": result.expectations, "rows": len(frame)},
    )


def describe(expectation: dict) -> str:
    ids = ", ".join(map(str, expectation.get("unexpected_ids") or ()))
    return f"{expectation['name']}: {expectation['unexpected_count']} rows fail" + (f" ({ids})" if ids else "")
