"""`worldvla audit`: answers a question about the lake that stands in `sql/`."""

from typing import Annotated, Any

import typer

from worldvla.cli import output
from worldvla.errors import UserError

# An audit's parameters are options that its SQL file declares, unknown to the command line's own parser.
CONTEXT_SETTINGS: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}
# Rows that a person is shown; more take longer to draw than to find.
ROWS_SHOWN = 200


def audit(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The audit: a file of sql/, without .sql.")] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="CAMPAIGN/ITERATION", help="Ask the tables as they were on that night.")
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Tell which audits there are and what they take.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
) -> None:
    """Ask one of the questions in sql/, as `worldvla audit NAME --PARAMETER VALUE …`.

    Models, policies and episodes are named by a prefix of their id, models also by CAMPAIGN/ITERATION.
    """
    if show_list:
        output.emit(_listed(), as_json, "audits", ["audit", "question", "parameters"])
        return
    from worldvla.lake.query import audits, run_audit
    from worldvla.lake.store import Lake

    if name is None or name.startswith("-"):
        raise UserError("name the audit first: worldvla audit NAME --PARAMETER VALUE; --list tells which there are")
    answer = run_audit(Lake.default(), name, parse_parameters(context.args), as_of)
    hidden = 0 if as_json else max(0, len(answer) - ROWS_SHOWN)
    asked = audits()[name]
    output.emit(answer.head(len(answer) - hidden).to_dicts(), as_json, name, asked.shown)
    if answer.is_empty() and asked.empty:
        output.say(asked.empty)
    if hidden:
        output.say(f"… and {hidden} more rows; --json gives all")


def parse_parameters(arguments: list[str]) -> dict[str, str]:
    """`["--model", "demo/1", "--origin=any"]` as a mapping; raises `UserError` on anything else."""
    parameters: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        option, equals, value = argument.partition("=")
        name = option.removeprefix("--").replace("-", "_")
        if not option.startswith("--") or not name:
            raise UserError(f"{argument!r} is no parameter: write --NAME VALUE")
        if not equals:
            value = next(rest, None)
        if value is None:
            raise UserError(f"{option} needs a value")
        if name in parameters:
            raise UserError(f"{option} is given twice")
        parameters[name] = value
    return parameters


def _listed() -> list[dict[str, Any]]:
    """One row an audit: its question, its parameters in a line, and what each may be."""
    from worldvla.lake.query import audits

    return [
        {
            "audit": one.name,
            "question": one.question,
            "parameters": ", ".join(
                f"--{p.name}" if p.default is None else f"--{p.name} (default {p.default})" for p in one.parameters
            ),
            "meaning": {p.name: p.description for p in one.parameters},
        }
        for one in audits().values()
    ]
