"""Why a run failed, in the words of the asset or gate at fault."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg

# A blocking check that fails is, to Dagster, an error of the step that the check belongs to.
CHECK_FAILED = "DagsterAssetCheckFailedError"
# Of a step that was at work when its run was stopped: nothing is wrong with the asset.
STOPPED = "DagsterExecutionInterruptedError"
# Errors whose message was written for a person: a stack trace would add nothing.
SAID = ("Failure", "UserError")
PREFIX = re.compile(r"^(?:[\w]+\.)*(?:Failure|UserError): ")
TRACE_LINES = 4


@dataclass(frozen=True)
class Problem:
    """One asset that did not complete; `gate` where its content is published and only its gate did not pass."""

    asset: str
    message: str
    trace: str = ""
    gate: bool = False

    @property
    def text(self) -> str:
        return f"{self.message}\n{self.trace}".strip()


@dataclass(frozen=True)
class Check:
    """A failed asset check. One that only warns is none: it fails no step."""

    name: str
    asset: str
    description: str

    @staticmethod
    def of(passed: bool, severity: str, name: str, asset: str, description: str | None) -> "Check | None":
        """What an evaluation tells; `severity` is Dagster's, ERROR or WARN."""
        return None if passed or severity == dg.AssetCheckSeverity.WARN.value else Check(name, asset, description or "")


@dataclass(frozen=True)
class Step:
    """A failed step: the innermost cause that has a message of its own."""

    asset: str
    error: str
    message: str
    stack: tuple[str, ...] = ()


def problems(steps: Iterable[Step], checks: Iterable[Check]) -> list[Problem]:
    """One problem a failed step, none of one that was stopped; a step that only failed a check speaks with the check's
    description."""
    failed = list(checks)
    found = []
    for step in steps:
        if step.error == STOPPED:
            continue
        if step.error == CHECK_FAILED:
            why = [f"check {check.name}: {check.description}" for check in failed if check.asset == step.asset]
            found.append(Problem(step.asset, "\n".join(why) or step.message, gate=True))
        else:
            trace = "" if step.error in SAID else "".join(step.stack[-TRACE_LINES:])
            found.append(Problem(step.asset, PREFIX.sub("", step.message.strip()), trace))
    return found


def of_events(events: Iterable[dg.DagsterEvent]) -> list[Problem]:
    """The problems that a run's events tell of."""
    steps, checks = [], []
    for event in events:
        if event.is_step_failure:
            error = event.step_failure_data.error.cause or event.step_failure_data.error
            steps.append(Step(event.step_key, error.cls_name or "", error.message, tuple(error.stack)))
        elif event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            told = event.asset_check_evaluation_data
            asset = told.asset_key.to_user_string()
            if check := Check.of(told.passed, told.severity.value, told.check_name, asset, told.description):
                checks.append(check)
    return problems(steps, checks)


def of_run(instance: dg.DagsterInstance, run_id: str) -> list[Problem]:
    """The problems of a run that has ended; one without an asset where the run itself broke off."""
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_CHECK_EVALUATION}
    found = of_events(entry.get_dagster_event() for entry in instance.all_logs(run_id, of_type=kinds))
    if found:
        return found
    ends = instance.all_logs(run_id, of_type={dg.DagsterEventType.RUN_FAILURE})
    return [Problem("", entry.get_dagster_event().message or "the run ended", "") for entry in ends[-1:]]
