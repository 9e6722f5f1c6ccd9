"""What was computed before stands for what would be computed again, as long as it is still whole."""

from worldvla.lake.episodes import remaining_version, retracted
from worldvla.lake.materializations import CONTENT_ROWS, Materialization, history
from worldvla.lake.models import KINDS, has_model
from worldvla.lake.store import Lake, quoted
from worldvla.planner.graph import GRAPH
from worldvla.quality.quarantine import released_since


def find(lake: Lake, fingerprint: str) -> Materialization | None:
    """The newest materialization with this fingerprint whose content is still whole, in any campaign."""
    candidates = history(lake, f"fingerprint = {quoted(fingerprint)}")
    return next((item for item in reversed(candidates) if is_whole(lake, item)), None)


def is_whole(lake: Lake, item: Materialization) -> bool:
    """Whether what a materialization points to can still be read.

    A set of episodes: every member is recorded and none retracted, and nothing that quality
    rules kept out was released since. A model: its row is
    there. SANS, keyframes, alignment: `details["rows"]` rows of that version (at least one
    where no number was given), none of a missing or retracted episode. Anything else holds
    no rows of its own.
    """
    if released_since(lake, item.details.get("quarantined", [])):
        return False
    if GRAPH[item.asset].holds_episodes:
        return remaining_version(lake, item.data_version) == item.data_version
    if item.asset in KINDS:
        return has_model(lake, item.data_version)
    if item.asset not in CONTENT_ROWS:
        return True
    table, column = CONTENT_ROWS[item.asset]
    rows = lake.frame(table, ["episode_id"], f"{column} = {quoted(item.data_version)}")
    expected = item.details.get("rows")
    if len(rows) != expected if expected is not None else not len(rows):
        return False
    members = rows.unique()
    kept = members.join(lake.frame("episodes", ["episode_id"]), on="episode_id").join(
        retracted(lake), on="episode_id", how="anti"
    )
    return len(kept) == len(members)
