"""The options by which commands choose nodes, and the nodes that they choose."""

from typing import TYPE_CHECKING, Annotated

import typer

from worldvla.cli import output
from worldvla.errors import UserError
from worldvla.home import campaigns_file

if TYPE_CHECKING:
    from worldvla.lake.store import Lake
    from worldvla.planner.observe import Snapshot
    from worldvla.planner.selection import Selection

Assets = Annotated[list[str] | None, typer.Argument(metavar="[ASSET]…", help="Only these assets; otherwise all.")]
Campaigns = Annotated[
    list[str] | None,
    typer.Option("--campaign", help="Only this campaign, may be repeated; otherwise all that have a record."),
]
Iteration = Annotated[
    str | None,
    typer.Option(help="Only these iterations: 3, 0003, 2-5, 0002..0005, 4.. (to the newest) or ..5."),
]
Upstream = Annotated[bool, typer.Option("--upstream", help="And everything that those depend on.")]
Downstream = Annotated[bool, typer.Option("--downstream", help="And everything that depends on those.")]
OnlyCause = Annotated[
    list[str] | None,
    typer.Option(metavar="code|data|missing", help="Only what is not fresh for this root cause; may be repeated."),
]


def select(
    lake: "Lake",
    assets: list[str] | None,
    campaigns: list[str] | None,
    iteration: str | None,
    upstream: bool,
    downstream: bool,
    only_cause: list[str] | None,
    at_least: int = 0,
    extend: bool = False,
) -> tuple["Snapshot", "Selection"]:
    """What the lake holds of the campaigns, and the selection that the options ask for.

    Looks at as many iterations of each as have a record, at least at `at_least`; with
    `extend` also at those of a range that have none yet. Raises `UserError` naming the
    option that cannot be.
    """
    from worldvla.partitions import parse_iterations
    from worldvla.planner.graph import GRAPH
    from worldvla.planner.observe import snapshot
    from worldvla.planner.selection import CAUSE_GROUPS, Selection

    if unknown := sorted(set(assets or ()) - GRAPH.keys()):
        raise UserError(f"no asset {', '.join(unknown)}; the assets are {', '.join(GRAPH)}")
    if wrong := sorted(set(only_cause or ()) - set(CAUSE_GROUPS)):
        raise UserError(f"--only-cause {wrong[0]}: the causes are {', '.join(CAUSE_GROUPS)}")
    wanted = None if iteration is None else parse_iterations(iteration)
    if extend and wanted is not None and wanted.last is not None:
        at_least = max(at_least, wanted.last + 1)
    seen = snapshot(lake, campaigns or None, at_least)
    for name, reason in seen.unknown.items():
        output.say(f"campaign {name} has records but no configuration: {reason}")
    if seen.unknown and not seen.campaigns:
        raise UserError(f"no campaign that has records can be read; campaigns stand in {campaigns_file()}")
    keys = None
    if wanted is not None:
        newest = max(seen.iterations.values(), default=0)
        keys = wanted.keys(newest)
        if not keys:
            have = f"the newest is {newest - 1:04d}" if newest else "there is none yet"
            raise UserError(f"--iteration {iteration}: there is no such iteration; {have}")
    selection = Selection(
        assets=frozenset(assets) if assets else None,
        campaigns=frozenset(seen.campaigns),
        iterations=keys,
        upstream=upstream,
        downstream=downstream,
        causes=frozenset(only_cause or ()),
    )
    return seen, selection
