"""How people name things of the lake: a prefix of an id, or the place in the loop that published it.

A model is a prefix of its id, or `CAMPAIGN/ITERATION` (the first kind asked for that this
node has), `CAMPAIGN/ITERATION/ASSET`, or `CAMPAIGN/ASSET` for assets made once a campaign.
An episode is a prefix of its id. An iteration may be written without leading zeros. `any`
selects nothing where an audit's default is `any`.
"""

import difflib
import re
from collections.abc import Iterable
from datetime import UTC, datetime

import duckdb

from worldvla.curation.sans import ORIGINS
from worldvla.errors import UserError
from worldvla.lake.models import KINDS
from worldvla.lake.store import Lake
from worldvla.partitions import iteration_key

# Which kinds a parameter of this name may mean, the likeliest first.
MODEL_PARAMETERS = {
    "model": (
        "world_model",
        "rl_policy",
        "base_policy",
        "pretrained_world_model",
        "embodiment",
        "autoencoder",
        "judge",
    ),
    "policy": ("rl_policy", "base_policy"),
}
# A second model of the same kinds as the first.
AGAINST = "against"
# Columns of `episodes` whose values an audit may ask for by name.
EPISODE_COLUMNS = ("suite", "task", "source")
INSTANTS = ("after", "before")
ANY = "any"
LONGEST_NUMBER = 9  # digits of an iteration that a person may mean
CANDIDATES_SHOWN = 8
DIGEST = re.compile(r"[0-9a-f]{8,64}")
SEEDS = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")

Connection = duckdb.DuckDBPyConnection


def resolve_model(lake: Lake, text: str, kinds: tuple[str, ...] = KINDS) -> str:
    """The id of the model that `text` names among these kinds; raises `UserError` listing candidates."""
    from worldvla.lake.query import asking

    with asking(lake) as connection:
        return _model(connection, text, kinds)


def resolve_episode(lake: Lake, text: str) -> str:
    """The id of the one episode that `text` is a prefix of; raises `UserError` where there is none or several."""
    from worldvla.lake.query import asking

    with asking(lake) as connection:
        return _episode(connection, text)


def tables_read(parameters: dict[str, str]) -> set[str]:
    """The tables and views that `resolve` asks for these parameters."""
    named = {name for name, value in parameters.items() if value != ANY}
    places = (
        {"models", "model_nodes", "current"} if named & {*MODEL_PARAMETERS, AGAINST, "campaign", "iteration"} else {}
    )
    episodes = {"episodes"} if named & {"episode", *EPISODE_COLUMNS} else {}
    return {*places, *episodes, *({"import_files"} if "file" in named else {})}


def resolve(connection: Connection, parameters: dict[str, str]) -> dict[str, str]:
    """Audit parameters with what people wrote replaced by the values that stand in the tables.

    Raises `UserError` on a value that names nothing, with the nearest that does.
    """
    resolved = dict(parameters)
    wanted = {name: value for name, value in parameters.items() if value != ANY}
    kinds = {name: of for name, of in MODEL_PARAMETERS.items() if name in parameters}
    if kinds:
        kinds[AGAINST] = next(iter(kinds.values()))
    for name in kinds.keys() & wanted.keys():
        resolved[name] = _model(connection, wanted[name], kinds[name])
    if "episode" in wanted:
        resolved["episode"] = _episode(connection, wanted["episode"])
    if "campaign" in wanted:
        _check_campaign(connection, wanted["campaign"])
    if "iteration" in wanted:
        resolved["iteration"] = _iteration(connection, wanted["iteration"], parameters.get("campaign"))
    if "seeds" in wanted:
        resolved["seeds"] = _seeds(wanted["seeds"])
    for name in INSTANTS:
        if name in wanted:
            resolved[name] = _instant(name, wanted[name])
    for name in EPISODE_COLUMNS:
        if name in wanted:
            _check_value(connection, wanted[name], f"SELECT {name} FROM episodes", f"no episode has the {name}")
    if "file" in wanted:
        named = "SELECT unnest([file, import_name, sha256]) FROM import_files"
        _check_value(connection, wanted["file"], named, "nothing was imported from or as")
    if "origin" in wanted and wanted["origin"] not in ORIGINS:
        meant = did_you_mean(wanted["origin"], ORIGINS)
        raise UserError(f"there is no origin {wanted['origin']!r}{meant}; there is {_few(list(ORIGINS))}")
    return resolved


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """`; did you mean 'lineage'?` where something known is near what was written, else nothing."""
    near = difflib.get_close_matches(text, list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _model(connection: Connection, text: str, kinds: tuple[str, ...]) -> str:
    if "/" in text:
        found = _published(connection, text, kinds)
        if found is None:
            known = _few(_described(connection, kinds, ""))
            raise UserError(f"no {_either(kinds)} was published as {text!r}; there is {known}")
        return found
    matches = connection.execute(
        "SELECT model_id FROM models WHERE starts_with(model_id, $text) AND list_contains($kinds, kind)",
        {"text": text, "kinds": list(kinds)},
    ).fetchall()
    if not matches:
        known = _few(_described(connection, kinds, ""))
        raise UserError(f"no {_either(kinds)} has an id that begins with {text!r}; there is {known}")
    if len(matches) > 1:
        known = _few(_described(connection, kinds, text))
        raise UserError(f"{text!r} names {len(matches)} models, write more of the id: {known}")
    return matches[0][0]


def _described(connection: Connection, kinds: tuple[str, ...], prefix: str) -> list[str]:
    """The models of these kinds whose id has the prefix, each with the places that published it."""
    rows = connection.execute(
        "SELECT models.kind, models.model_id, "
        "string_agg(DISTINCT concat_ws('/', campaign, nullif(iteration, ''), asset), ', ') "
        "FROM models LEFT JOIN model_nodes USING (model_id) "
        "WHERE starts_with(models.model_id, $prefix) AND list_contains($kinds, models.kind) "
        "GROUP BY models.kind, models.model_id ORDER BY list_position($kinds, models.kind), models.model_id",
        {"prefix": prefix, "kinds": list(kinds)},
    ).fetchall()
    return [f"{kind} {model_id[:12]} ({places or 'not published'})" for kind, model_id, places in rows]


def _published(connection: Connection, text: str, kinds: tuple[str, ...]) -> str | None:
    """The model that the place `text` holds now."""
    campaign, place, *asset = text.split("/")
    iteration = iteration_key(int(place)) if _is_number(place) else ""
    assets = asset if _is_number(place) and asset else kinds if _is_number(place) else [place]
    rows = dict(
        connection.execute(
            "SELECT asset, data_version FROM current WHERE campaign = $campaign AND iteration = $iteration",
            {"campaign": campaign, "iteration": iteration},
        ).fetchall()
    )
    return next((rows[name] for name in assets if name in kinds and name in rows), None)


def _episode(connection: Connection, text: str) -> str:
    rows = connection.execute(
        "SELECT episode_id, task, seed FROM episodes WHERE starts_with(episode_id, $text) ORDER BY episode_id LIMIT 50",
        {"text": text},
    ).fetchall()
    if not rows:
        raise UserError(f"no episode has an id that begins with {text!r}")
    if len(rows) > 1:
        candidates = _few([f"{episode_id[:12]} ({task}, seed {seed})" for episode_id, task, seed in rows])
        raise UserError(f"{text!r} names several episodes, write more of the id: {candidates}")
    return rows[0][0]


def _check_campaign(connection: Connection, text: str) -> None:
    known = [row[0] for row in connection.execute("SELECT DISTINCT campaign FROM current ORDER BY 1").fetchall()]
    if text not in known:
        meant = did_you_mean(text, known)
        raise UserError(f"nothing of campaign {text!r} was materialized{meant}; there is {_few(known)}")


def _check_value(connection: Connection, text: str, values: str, sentence: str) -> None:
    """Raises `UserError`, which begins with the sentence, where no value, or prefix of a digest, is the text."""
    known = [row[0] for row in connection.execute(f"SELECT DISTINCT * FROM ({values}) ORDER BY 1").fetchall()]
    if text not in known and not (DIGEST.fullmatch(text) and any(one.startswith(text) for one in known)):
        names = [one for one in known if not DIGEST.fullmatch(one)]
        raise UserError(f"{sentence} {text!r}{did_you_mean(text, names)}; there is {_few(names)}")


def _seeds(text: str) -> str:
    """One seed or a range of them, both ends in it, as `FIRST-LAST`."""
    match = SEEDS.fullmatch(text)
    if match is None or int(match[1]) > int(match[2] or match[1]):
        raise UserError(f"seeds {text!r}: write one seed or a range, for example 7 or 100-199")
    return f"{int(match[1])}-{int(match[2] or match[1])}"


def _instant(name: str, text: str) -> str:
    """A date or a time, in UTC where it names no zone."""
    try:
        instant = datetime.fromisoformat(text)
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        raise UserError(
            f"{name} {text!r}: write a date or a time, for example 2026-11-21 or 2026-11-21T06:30"
        ) from None


def _iteration(connection: Connection, text: str, campaign: str | None) -> str:
    key = iteration_key(int(text)) if _is_number(text) else text
    known = [
        row[0]
        for row in connection.execute(
            "SELECT DISTINCT iteration FROM current WHERE iteration <> '' AND campaign = coalesce($campaign, campaign) "
            "ORDER BY 1",
            {"campaign": campaign},
        ).fetchall()
    ]
    if key not in known:
        raise UserError(f"nothing of iteration {text!r} was materialized; there is {_few(known)}")
    return key


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER


def _either(kinds: tuple[str, ...]) -> str:
    return " or ".join(kinds)


def _few(items: list[str]) -> str:
    more = f" and {len(items) - CANDIDATES_SHOWN} more" if len(items) > CANDIDATES_SHOWN else ""
    return ("; ".join(items[:CANDIDATES_SHOWN]) or "none yet") + more
