"""A quiet lake: no campaign is run while its files are looked after."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from worldvla.cli.campaign_lock import campaign_lock

if TYPE_CHECKING:
    from worldvla.lake.store import Lake


@contextmanager
def quiet(lake: "Lake") -> Iterator[None]:
    """Holds every campaign that there is; raises `UserError` naming one that is being run."""
    from worldvla.campaigns import campaign_names

    names = set(campaign_names())
    if lake.exists("materializations"):
        names |= set(lake.frame("materializations", ["campaign"])["campaign"].unique())
    with ExitStack() as stack:
        for name in sorted(names):
            stack.enter_context(campaign_lock(name))
        yield
