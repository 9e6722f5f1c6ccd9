"""`worldvla audit`: answers a question about the lake that stands in `sql/`."""

from typing import Annotated, Any

import typer

from worldvla.cli import output
from worldvla.errors import UserError

# An audit's parameters are options that its SQL file declares, unknown to the command line's own parser.
CONTEXT_SETTINGS: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}


def audit(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The audit: a file of sql/, without .sql.")] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Tell which audits there are and what they take.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
) -> None:
    """Ask one of the questions in sql/, as `worldvla audit NAME --PARAMETER VALUE …`.

    Models, policies and episodes are named by a prefix of their id, models also by CAMPAIGN/ITERATION.
    """
    from worldvla.lake.query import audits, run_audit
    from worldvla.lake.store import Lake

    if show_list:
        rows = [
            {
                "audit": one.name,
                "question": one.question,
                "parameters": ", ".join(
                    f"--{p.name}" if p.default is None else f"--{p.name} (default {p.default})" for p in one.parameters
                ),
            }
            for one in audits().values()
        ]
        output.emit(rows, as_json, "audits")
        return
    if name is None or name.startswith("-"):
        raise UserError("name the audit first: worldvla audit NAME --PARAMETER VALUE; --list tells which there are")
    rows = run_audit(Lake.default(), name, parse_parameters(context.args)).to_dicts()
    output.emit(rows, as_json, name, audits()[name].shown)


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
