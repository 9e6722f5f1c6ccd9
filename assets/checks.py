"""Asset checks: each suite of expectations of a table that an asset answers for, and gates."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from worldvla.home import data_docs_directory
from worldvla.lake.store import Lake
from worldvla.quality.suites.assignment import suites_of
from worldvla.quality.suites.suite import Scope
from worldvla.quality.validation import SuiteResult, audit

NODE_DOCS = "data docs"


@dataclass(frozen=True)
class Check:
    """The outcome of one asset check. A blocking check that fails keeps the content unpublished;
    a gate lets it be published and keeps everything downstream from running. A check that `warned` passed,
    with warnings: it is shown as failed with the severity WARN and stops nothing."""

    name: str
    passed: bool
    description: str
    metadata: dict[str, Any] = field(default_factory=dict)
    gate: bool = False
    warned: bool = False
    page: str | None = None

    @property
    def result(self) -> dg.AssetCheckResult:
        docs = {NODE_DOCS: dg.MetadataValue.url(Path(self.page).as_uri())} if self.page else {}
        return dg.AssetCheckResult(
            check_name=self.name,
            passed=self.passed and not self.warned,
            severity=dg.AssetCheckSeverity.WARN if self.passed else dg.AssetCheckSeverity.ERROR,
            description=self.description,
            metadata={**self.metadata, **docs},
        )

    @property
    def record(self) -> dict[str, Any]:
        """What the lake keeps of the check, for whoever publishes the same content again."""
        return {name: getattr(self, name) for name in ("name", "passed", "description", "gate", "warned", "page")}


def check_specs(asset: str, own: Sequence[str]) -> list[dg.AssetCheckSpec]:
    """One blocking check a suite that this asset answers for, and one for each of its own."""
    return [dg.AssetCheckSpec(name, asset=asset, blocking=True) for name in (*suites_of(asset), *own)]


def suite_checks(lake: Lake, scope: Scope) -> tuple[Check, ...]:
    """Runs the asset's suites over what it is about to publish."""
    names = suites_of(scope.asset)
    return tuple(map(_check, audit(lake, names, scope, data_docs_directory()))) if names else ()


def _check(result: SuiteResult) -> Check:
    failing = [verdict for verdict in result.verdicts if not verdict.success]
    return Check(
        result.suite,
        result.success,
        "; ".join(result.failures) or f"{len(result.verdicts)} expectations hold on {result.rows} rows",
        metadata={
            "rows": result.rows,
            "expectations": result.as_rows,
            "failing rows": {verdict.name: verdict.unexpected_ids for verdict in failing},
        },
        warned=result.success and bool(failing),
        page=str(result.page) if result.page else None,
    )
