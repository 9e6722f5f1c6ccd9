"""`worldvla retain`: removes what no champion, published iteration or pin needs."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worldvla.cli import output
from worldvla.errors import UserError

if TYPE_CHECKING:
    from worldvla.lake.store import Lake
    from worldvla.upkeep.checkpoints import TrainingFiles
    from worldvla.upkeep.retention import Plan

MOST_DAYS = 36_500  # a century; some more, and there is no such date
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")]

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def retain(
    context: typer.Context,
    apply: Annotated[bool, typer.Option("--apply", help="Remove it; without this, only say what would go.")] = False,
    keep_days: Annotated[
        float,
        typer.Option(
            min=0,
            max=MOST_DAYS,
            help="What was published, recorded or checkpointed in the last days stays, whoever needs it.",
        ),
    ] = 7.0,
    as_json: AsJson = False,
) -> None:
    """Say, table by table, what nobody needs and how many bytes it takes; with --apply, remove it.

    Needed is what can be reached from a champion, from a published iteration or from a pin, and what is younger
    than --keep-days. Frames, videos and weights are never rewritten; the other tables are compacted.
    """
    if context.invoked_subcommand is not None:
        for parameter in context.command.params:
            source = context.get_parameter_source(parameter.name or "")
            if source is not None and source.name != "DEFAULT":
                raise UserError(
                    f"{parameter.opts[0]} before `{context.invoked_subcommand}` is of `retain` alone: "
                    f"leave it out, or write it after {context.invoked_subcommand}"
                )
        return
    from worldvla.cli.quiet import quiet
    from worldvla.home import home
    from worldvla.lake.store import Lake
    from worldvla.upkeep import checkpoints, retention

    lake, keep = Lake.default(), timedelta(days=keep_days)
    if not apply:
        trainings = checkpoints.look(home(), keep)
        plan = _planned(lake, keep, trainings)
        rows = _rows(plan) + _training_rows(trainings)
        output.emit(rows, as_json, "retention, dry run")
        _name_models(plan)
        freed, total = (sum(row[name] for row in rows) for name in ("freed_bytes", "bytes"))
        output.say(f"{_size(freed)} of {_size(total)} would be freed, and more by compaction; --apply does it")
        return
    with quiet(lake):
        trainings = checkpoints.look(home(), keep)
        plan = _planned(lake, keep, trainings)
        before = _bytes(lake)
        with output.steps("removing", 1 + len(retention.REMOVABLE) + len(plan.tables)) as step:
            retention.apply(lake, plan, step)
        after = _bytes(lake)
        checkpoints.remove(trainings)
    rows = [row | {"freed_bytes": before[row["table"]] - after[row["table"]]} for row in _rows(plan)]
    rows += _training_rows(trainings)
    output.emit(rows, as_json, "retention")
    _name_models(plan)
    output.say(f"{_size(sum(row['freed_bytes'] for row in rows))} freed")


@app.command()
def pin(
    name: Annotated[str, typer.Argument(help="The pin's name.")],
    model: Annotated[
        str | None,
        typer.Option(help="Keep this model (a prefix of its id, or CAMPAIGN/ITERATION) and what it came from."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Keep a model with all it came from, or, without --model, the whole lake as it is now."""
    from worldvla.lake import tags
    from worldvla.lake.names import resolve_model
    from worldvla.lake.store import Lake
    from worldvla.locks import at_work

    lake = Lake.default()
    with at_work():
        pinned = tags.pin(lake, name, resolve_model(lake, model) if model else None)
    output.emit(pinned, as_json, f"pinned as {name}")


@app.command()
def unpin(name: Annotated[str, typer.Argument(help="The pin's name.")], as_json: AsJson = False) -> None:
    """Let go of a pin; what only it kept goes with the next `worldvla retain --apply`. Prints the pins that stay."""
    from worldvla.lake import tags
    from worldvla.lake.store import Lake
    from worldvla.locks import at_work

    lake = Lake.default()
    with at_work():
        tags.unpin(lake, name)
    output.emit(tags.pins(lake), as_json, "pins")


@app.command()
def pins(as_json: AsJson = False) -> None:
    """List the pins, and versions that somebody tagged with Lance's own tools."""
    from worldvla.lake import tags
    from worldvla.lake.store import Lake

    output.emit(tags.pins(Lake.default()), as_json, "pins")


def _planned(lake: "Lake", keep: timedelta, trainings: "list[TrainingFiles]") -> "Plan":
    from worldvla.lake.tables import TABLES
    from worldvla.upkeep import retention

    champions = _champions(lake)
    with output.steps("looking", 1 + len(TABLES)) as step:
        unfinished = {one.path.name.removesuffix(".seconds") for one in trainings if not one.given_up}
        return retention.make_plan(lake, champions, keep, step, unfinished)


def _champions(lake: "Lake") -> set[str]:
    """The model of every campaign's champion alias, and whom its newest evaluation chose, should the alias be lost;
    asks MLflow only when something was trained."""
    if not lake.exists("models") or not lake.open("models").count_rows():
        return set()
    from worldvla.home import mlflow_uri
    from worldvla.lake.materializations import latest
    from worldvla.tracking.champion import champion

    published = latest(lake)
    evaluations = sorted(key for key in published if key[0] == "evaluation")
    chosen = {campaign: published[asset, campaign, one].details for asset, campaign, one in evaluations}
    recorded = {details["champion"]["after"] for details in chosen.values() if "champion" in details}
    # Before the first training there is no database, and asking would make one.
    address = mlflow_uri()
    if address.startswith("sqlite:///") and not Path(address.removeprefix("sqlite:///")).exists():
        output.say(
            f"there is no MLflow database at {address}: champions that were set there by hand are not known. Where "
            "trainings are tracked elsewhere, set MLFLOW_TRACKING_URI as it was for them"
        )
        return recorded
    return recorded | {model for _, campaign, _ in published if (model := champion(campaign))}


def _rows(plan: "Plan") -> list[dict]:
    return [
        {
            "table": one.table,
            "rows": one.footprint.rows,
            "removed_rows": one.footprint.removed,
            "bytes": one.footprint.total,
            "freed_bytes": one.footprint.freed,
        }
        for one in plan.tables
    ]


def _training_rows(trainings: "list[TrainingFiles]") -> list[dict]:
    """One row of all checkpoints, as of a table; none where there are none."""
    gone = [one for one in trainings if one.given_up]
    row = {
        "table": "checkpoints",
        "rows": len(trainings),
        "removed_rows": len(gone),
        "bytes": sum(one.size for one in trainings),
        "freed_bytes": sum(one.size for one in gone),
    }
    return [row] if trainings else []


def _name_models(plan: "Plan") -> None:
    for model in plan.removed_models:
        where = f" of {', '.join(model['campaign'])}" if model["campaign"] else ", never published"
        output.say(f"{model['kind']} {model['model_id']}{where}: no champion, published iteration or pin needs it")


def _bytes(lake: "Lake") -> dict[str, int]:
    from worldvla.lake.faults import file_sizes
    from worldvla.lake.tables import TABLES

    return {table: sum(file_sizes(lake.open(table)).values()) for table in TABLES if lake.exists(table)}


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
