"""Expectations in the project's words: each a sentence, a Great Expectations class, and its arguments."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from worldvla.quality.rules import Severity


@dataclass(frozen=True)
class Expectation:
    """`kind` names a class of `great_expectations.expectations`; `name` says what must hold, `reason` why."""

    name: str
    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)
    severity: Severity = "error"
    reason: str = ""


def not_empty_table(what: str) -> Expectation:
    return Expectation(f"there are {what}", "ExpectTableRowCountToBeBetween", {"min_value": 1})


def present(*columns: str) -> list[Expectation]:
    return [
        Expectation(f"every row has its {column}", "ExpectColumnValuesToNotBeNull", {"column": column})
        for column in columns
    ]


def unique(name: str, *columns: str, severity: Severity = "error", reason: str = "") -> Expectation:
    if len(columns) == 1:
        return Expectation(name, "ExpectColumnValuesToBeUnique", {"column": columns[0]}, severity, reason)
    return Expectation(
        name, "ExpectCompoundColumnsToBeUnique", {"column_list": list(columns)}, severity=severity, reason=reason
    )


def holds(name: str, column: str, severity: Severity = "error", reason: str = "") -> Expectation:
    """A column of true and false, or of nulls where there is nothing to say."""
    return one_of(name, column, [True], severity, reason)


def one_of(name: str, column: str, values: Iterable, severity: Severity = "error", reason: str = "") -> Expectation:
    arguments = {"column": column, "value_set": list(values)}
    return Expectation(name, "ExpectColumnValuesToBeInSet", arguments, severity, reason)


def between(
    name: str,
    column: str,
    low: float | None = None,
    high: float | None = None,
    severity: Severity = "error",
    reason: str = "",
) -> Expectation:
    bounds = {"min_value": low, "max_value": high}
    arguments = {"column": column} | {key: value for key, value in bounds.items() if value is not None}
    return Expectation(name, "ExpectColumnValuesToBeBetween", arguments, severity, reason)


def said(name: str, column: str) -> Expectation:
    """A text that is not empty; `column` must not be null."""
    return Expectation(name, "ExpectColumnValueLengthsToBeBetween", {"column": column, "min_value": 1})


def stripped(values: pd.Series) -> pd.Series:
    """Texts without blanks around them, null as the empty text: for `said`."""
    return values.fillna("").astype(str).str.strip()


def is_json_object(values: pd.Series) -> pd.Series:
    """Whether each text is one JSON object."""
    return values.map(_parses)


def _parses(text: str | None) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (TypeError, ValueError):
        return False
