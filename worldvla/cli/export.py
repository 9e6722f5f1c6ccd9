"""`worldvla export`: episodes of the lake as a dataset that other people's tools read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worldvla.cli import output
from worldvla.cli.audit import parse_parameters
from worldvla.errors import UserError

if TYPE_CHECKING:
    from worldvla.exchange.exporting.run import Video
    from worldvla.exchange.exporting.selection import Chosen
    from worldvla.lake.store import Lake

COLUMNS = ("to", "format", "episodes", "frames", "mib", "seconds", "left_out")


def export(
    context: typer.Context,
    format_name: Annotated[str, typer.Argument(metavar="FORMAT", help="lerobot, hdf5, parquet or lerobot-lance.")],
    to: Annotated[Path, typer.Option(help="The folder to make; it must not exist, or be empty.")],
    audit: Annotated[
        str | None, typer.Option(help="The episodes that this audit's result names; add the audit's own --PARAMETERs.")
    ] = None,
    sans: Annotated[
        str | None, typer.Option(metavar="CAMPAIGN/ITERATION[/SPLIT]", help="The episodes of a SANS, or of one split.")
    ] = None,
    episodes: Annotated[
        list[str] | None, typer.Option(metavar="ID…", help="These episodes, by prefixes of their ids.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="CAMPAIGN/ITERATION", help="Ask the audit as the tables were on that night.")
    ] = None,
    version: Annotated[str | None, typer.Option(help="LeRobot's: v3.0 (default) or v2.1.")] = None,
    codec: Annotated[str | None, typer.Option(help="Of LeRobot's video: h264 (default) or av1.")] = None,
    crf: Annotated[
        int | None, typer.Option(min=0, max=63, help="Of the codec: smaller is closer to the original; default 18.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=0.1, max=1000, help="Frames/s of LeRobot's; default: as recorded.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
) -> None:
    """Write episodes as a LeRobot, HDF5 or Parquet dataset, with where each of them comes from.

    The folder appears when it is complete. An export that was interrupted is started anew by the same command.
    """
    from worldvla.exchange.exporting import run
    from worldvla.exchange.exporting.staging import refuse_existing
    from worldvla.lake.store import Lake

    if format_name not in run.FORMATS:
        raise UserError(f"there is no format {format_name!r}; the formats are {', '.join(run.FORMATS)}")
    video = _video(format_name, {"version": version, "codec": codec, "crf": crf, "fps": fps})
    target = to.absolute()
    refuse_existing(target)
    lake = Lake.default()
    chosen = _chosen(lake, audit, sans, episodes, as_of, context.args)
    for reason, ids in chosen.left_out.items():
        output.say(f"left out, {reason}: {len(ids)} ({', '.join(ids[:5])}{', …' if len(ids) > 5 else ''})")
    if seldom := chosen.seldom_drawn:
        held = "are null" if format_name == "parquet" else "repeat the last one, and worldvla.drawn is false there"
        output.say(
            f"{seldom} of {len(chosen.rows)} episodes were not drawn at every state: the pictures between {held}"
        )
    with output.steps(f"exporting to {to}", len(chosen.rows)) as step:
        done = run.export(lake, chosen, format_name, target, video, step)
    row: dict[str, Any] = {"to": str(done.to), "format": done.format, "episodes": done.episodes, "frames": done.frames}
    row |= {"bytes": done.bytes, "mib": done.bytes / 2**20, "seconds": done.seconds}
    left_out = done.left_out if as_json else sum(map(len, done.left_out.values()))
    output.emit([{**row, "left_out": left_out}], as_json, "exported", COLUMNS)


def _chosen(
    lake: "Lake", audit: str | None, sans: str | None, episodes: list[str] | None, as_of: str | None, rest: list[str]
) -> "Chosen":
    """What exactly one of the three options selects; `rest` are an audit's parameters or further episodes."""
    from worldvla.exchange.exporting import selection

    if sum(one is not None for one in (audit, sans, episodes or None)) != 1:
        raise UserError(
            "say which episodes: --audit NAME, --sans CAMPAIGN/ITERATION[/SPLIT] or --episodes ID…: one of them"
        )
    if as_of is not None and audit is None:
        raise UserError("--as-of belongs to --audit; a SANS is named by its iteration")
    if audit is not None:
        return selection.chosen(lake, selection.of_audit(lake, audit, parse_parameters(rest), as_of))
    if unknown := [one for one in rest if one.startswith("-") or sans is not None]:
        raise UserError(f"{unknown[0]!r} is no option of `worldvla export`; --help lists them")
    chosen = selection.of_sans(lake, sans) if sans is not None else selection.of_episodes(lake, [*episodes, *rest])
    return selection.chosen(lake, chosen)


def _video(format_name: str, given: dict[str, Any]) -> "Video":
    """The options of the formats that hold video; raises `UserError` where another format is given one."""
    from worldvla.exchange.exporting.run import VIDEO_FORMATS, Video

    said = {name: value for name, value in given.items() if value is not None}
    if said and format_name not in VIDEO_FORMATS:
        raise UserError(
            f"--{next(iter(said))} is of the formats {' and '.join(VIDEO_FORMATS)} alone, not {format_name}"
        )
    if "version" in said and not said["version"].startswith("v"):
        said["version"] = f"v{said['version']}"
    return Video(**said)
