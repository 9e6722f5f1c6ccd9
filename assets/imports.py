"""Imported episodes: what came in under the names that a campaign lists, and what of it is to be imitated."""

import dagster as dg

from assets.episodes import episode_content
from assets.publication import Content, Step, loop_asset
from worldvla.errors import UserError
from worldvla.lake.episodes import episode_rows
from worldvla.lake.imports import import_names, lost_imports
from worldvla.lake.imports import imported_episodes as episodes_of
from worldvla.quality.admission import judge_again
from worldvla.quality.recording import Recording


def imported_episodes(step: Step) -> Content:
    """The episodes of the campaign's imports, judged by today's quality rules."""
    names, chunk = step.config.imports, step.config.scene.chunk
    if unknown := sorted(set(names) - set(import_names(step.lake))):
        raise UserError(
            f"imports: nothing was imported as {', '.join(unknown)}; `worldvla import FORMAT PATH --name NAME`"
        )
    if lost := lost_imports(step.lake, names):
        places = ", ".join(f"{count} of {name} ({path})" for (name, path), count in lost.items())
        raise UserError(
            f"imports: episodes were removed by `worldvla retain` before a campaign took them: {places}; "
            "give the same `worldvla import` again"
        )
    verdicts = judge_again(step.lake, episodes_of(step.lake, names), step.commit)
    rows = episode_rows(step.lake, verdicts.admitted).to_dicts()
    if uneven := sorted({row["actor"] for row in rows if row["length"] % chunk}):
        raise UserError(
            f"imports: episodes of {', '.join(uneven)} are no whole number of chunks of {chunk} (scene.chunk); "
            f"import them under another name with --chunk {chunk}"
        )
    return episode_content(step, Recording(rows, verdicts.refused, 0))


def imported_demonstrations(step: Step) -> Content:
    """The successes among the imports that the campaign's base policy is to imitate."""
    rows = episode_rows(step.lake, step.members("imported_episodes")).to_dicts()
    wanted = [row for row in rows if row["success"] and row["actor"] in step.config.imported_demonstrations]
    return episode_content(step, Recording(wanted, [], 0))


ASSETS: list[dg.AssetsDefinition] = [loop_asset(imported_episodes), loop_asset(imported_demonstrations)]
