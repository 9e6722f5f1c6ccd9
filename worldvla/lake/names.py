"""How people name things of the lake: a prefix of an id, or the place in the loop that published it.

A model is a prefix of its id, or `CAMPAIGN/ITERATION` (the first kind asked for that this
node has), `CAMPAIGN/ITERATION/ASSET`, or `CAMPAIGN/ASSET` for assets made once a campaign.
An episode is a prefix of its id. An iteration may be written without leading zeros.
"""

import duckdb

from worldvla.errors import UserError
from worldvla.lake.models import KINDS
from worldvla.lake.store import Lake
from worldvla.planner.partitions import iteration_key

# Which kinds a parameter of this name may mean, the likeliest first.
MODEL_PARAMETERS = {
    "model": ("world_model", "rl_policy", "base_policy", "pretrained_world_model", "judge"),
    "policy": ("rl_policy", "base_policy"),
}
CANDIDATES_SHOWN = 8

Connection = duckdb.DuckDBPyConnection


def resolve_model(lake: Lake, text: str, kinds: tuple[str, ...] = KINDS) -> str:
    """The id of the model that `text` names among these kinds; raises `UserError` listing candidates."""
    from worldvla.lake.query import connect

    with connect(lake) as connection:
        return _model(connection, text, kinds)


def resolve_episode(lake: Lake, text: str) -> str:
    """The id of the one episode that `text` is a prefix of; raises `UserError` where there is none or several."""
    from worldvla.lake.query import connect

    with connect(lake) as connection:
        return _episode(connection, text)


def resolve(connection: Connection, parameters: dict[str, str]) -> dict[str, str]:
    """Audit parameters with what people wrote replaced by the ids that stand in the tables."""
    resolved = dict(parameters)
    for name, kinds in MODEL_PARAMETERS.items():
        if name in parameters:
            resolved[name] = _model(connection, parameters[name], kinds)
    if "episode" in parameters:
        resolved["episode"] = _episode(connection, parameters["episode"])
    if "campaign" in parameters:
        _check_campaign(connection, parameters["campaign"])
    if "iteration" in parameters:
        resolved["iteration"] = _iteration(connection, parameters["iteration"], parameters.get("campaign"))
    return resolved


def _model(connection: Connection, text: str, kinds: tuple[str, ...]) -> str:
    known = connection.execute(
        "SELECT models.model_id, models.kind, "
        "string_agg(DISTINCT concat_ws('/', campaign, nullif(iteration, ''), asset), ', ') AS places "
        "FROM models LEFT JOIN model_nodes USING (model_id) GROUP BY ALL ORDER BY models.kind, models.model_id"
    ).fetchall()
    known = [row for row in known if row[1] in kinds]
    described = [f"{kind} {model_id[:12]} ({places or 'not published'})" for model_id, kind, places in known]
    if "/" in text:
        found = _published(connection, text, kinds)
        if found is None:
            raise UserError(f"no {_either(kinds)} was published as {text!r}; there is {_few(described)}")
        return found
    matches = [index for index, row in enumerate(known) if row[0].startswith(text)]
    if not matches:
        raise UserError(f"no {_either(kinds)} has an id that begins with {text!r}; there is {_few(described)}")
    if len(matches) > 1:
        candidates = _few([described[index] for index in matches])
        raise UserError(f"{text!r} names {len(matches)} models, write more of the id: {candidates}")
    return known[matches[0]][0]


def _published(connection: Connection, text: str, kinds: tuple[str, ...]) -> str | None:
    """The model that the place `text` holds now."""
    campaign, place, *asset = text.split("/")
    iteration = iteration_key(int(place)) if _is_number(place) else ""
    assets = asset if _is_number(place) and asset else kinds if _is_number(place) else [place]
    rows = dict(
        connection.execute(
            "SELECT asset, coalesce(details ->> 'model_id', data_version) FROM current "
            "WHERE campaign = $campaign AND iteration = $iteration",
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
        raise UserError(f"nothing of campaign {text!r} was materialized; there is {_few(known)}")


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
    return text.isascii() and text.isdigit()


def _either(kinds: tuple[str, ...]) -> str:
    return " or ".join(kinds)


def _few(items: list[str]) -> str:
    more = f" and {len(items) - CANDIDATES_SHOWN} more" if len(items) > CANDIDATES_SHOWN else ""
    return ("; ".join(items[:CANDIDATES_SHOWN]) or "none yet") + more
