"""Runs a suite with Great Expectations and says what failed, by row key.

Rows are projected metadata in a pandas frame, without columns of bytes. Great Expectations takes
seconds to import, so it is imported when a suite runs.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from worldvla.lake.store import Lake
from worldvla.quality import data_docs
from worldvla.quality.expectation import Expectation
from worldvla.quality.rules import Severity
from worldvla.quality.suites.catalog import SUITES
from worldvla.quality.suites.suite import Scope, Suite

# Row keys kept of an expectation that fails; `unexpected_count` counts all.
KEYS_KEPT = 200
KEYS_SHOWN = 20
# Up to so many rows a page of Data Docs lists the keys of all that are at fault, beyond it only values.
LISTED_WHOLE = 10_000
SEVERITIES: dict[Severity, str] = {"error": "critical", "warning": "warning"}


@dataclass(frozen=True)
class Verdict:
    """What came of one expectation. `unexpected_ids`: keys of rows at fault; empty where the table as a whole is."""

    name: str
    severity: Severity
    success: bool
    unexpected_count: int = 0
    unexpected_ids: list[str] = field(default_factory=list)
    observed: Any = None

    @property
    def sentence(self) -> str:
        if not self.unexpected_count:
            return f"{self.name}: no (observed {self.observed})"
        shown = ", ".join(self.unexpected_ids[:KEYS_SHOWN])
        hidden = self.unexpected_count - min(len(self.unexpected_ids), KEYS_SHOWN)
        return f"{self.name}: not for {shown}" + (f" and {hidden} more" if hidden > 0 else "")


@dataclass(frozen=True)
class SuiteResult:
    """`page` is the suite's page in Data Docs, where they were asked for."""

    suite: str
    rows: int
    verdicts: list[Verdict]
    page: Path | None = None

    @property
    def success(self) -> bool:
        """Whether every error expectation holds."""
        return not self.failed("error")

    @property
    def failures(self) -> list[str]:
        """Each failed expectation in words, errors first, with the rows at fault."""
        return [
            ("" if severity == "error" else "warning: ") + verdict.sentence
            for severity in ("error", "warning")
            for verdict in self.failed(severity)
        ]

    def failed(self, severity: Severity) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.severity == severity and not verdict.success]

    @property
    def as_rows(self) -> list[dict]:
        return [asdict(verdict) for verdict in self.verdicts]


def audit(lake: Lake, names: Sequence[str], scope: Scope, docs: Path | None = None) -> list[SuiteResult]:
    """Runs the suites of these names over the rows that the scope is about."""
    return run_suites([(SUITES[name], SUITES[name].read(lake, scope)) for name in names], scope, docs)


def run_suites(
    asked: Sequence[tuple[Suite, pd.DataFrame]], scope: Scope, docs: Path | None = None
) -> list[SuiteResult]:
    """Runs each suite over its rows; with `docs`, a folder, it also writes their pages there.

    Raises `RuntimeError` when an expectation could not be computed: Great Expectations would
    report that as one that does not hold.
    """
    with data_docs.context(docs) as context:
        judged = [_validate(context, suite, data, suite.expect(data, scope), scope.label) for suite, data in asked]
        names = [suite.name for suite, _ in asked]
        pages = data_docs.build(context, docs, names, scope.label) if docs else {}
    return [
        SuiteResult(suite.name, len(data), verdicts, pages.get(suite.name))
        for (suite, data), verdicts in zip(asked, judged, strict=True)
    ]


def _validate(context: Any, suite: Suite, data: pd.DataFrame, expected: list[Expectation], label: str) -> list[Verdict]:
    import great_expectations as gx
    import great_expectations.expectations as gxe

    asset = context.data_sources.add_or_update_pandas("lake").add_dataframe_asset(suite.name)
    expectations = [
        getattr(gxe, one.kind)(
            **one.arguments,
            severity=SEVERITIES[one.severity],
            description=f"{one.name}: {one.reason}" if one.reason else one.name,
            meta={"name": one.name},
        )
        for one in expected
    ]
    outcome = context.validation_definitions.add_or_update(
        gx.ValidationDefinition(
            name=suite.name,
            data=asset.add_batch_definition_whole_dataframe(label),
            suite=context.suites.add_or_update(gx.ExpectationSuite(suite.name, expectations=expectations)),
        )
    ).run(
        batch_parameters={"dataframe": data},
        run_id=data_docs.run_identifier(label),
        result_format={
            "result_format": "COMPLETE" if len(data) <= LISTED_WHOLE else "SUMMARY",
            "partial_unexpected_count": KEYS_KEPT,
            "unexpected_index_column_names": list(suite.keys),
        },
    )
    results = {result.expectation_config.meta["name"]: result for result in outcome.results}
    return [_verdict(one, results[one.name], suite.keys) for one in expected]


def _verdict(expected: Expectation, result: Any, keys: tuple[str, ...]) -> Verdict:
    for info in (result.exception_info, *result.exception_info.values()):
        if isinstance(info, dict) and info.get("raised_exception"):
            raise RuntimeError(f"expectation {expected.name!r} could not be computed: {info['exception_message']}")
    details = result.result
    named = ["/".join(str(row[key]) for key in keys) for row in details.get("partial_unexpected_index_list") or []]
    return Verdict(
        expected.name,
        expected.severity,
        bool(result.success),
        int(details.get("unexpected_count", 0)),
        list(dict.fromkeys(named)),
        _plain(details.get("observed_value")),
    )


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
