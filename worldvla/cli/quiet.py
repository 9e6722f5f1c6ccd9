"""A quiet lake: nobody is at work on it while its files are looked after."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from worldvla.locks import campaign_lock, nobody_at_work

if TYPE_CHECKING:
    from worldvla.lake.store import Lake


@contextmanager
def quiet(lake: "Lake") -> Iterator[None]:
    """Holds every campaign that there is, and the lake; raises `UserError` naming one that is being run.

    A name in the lake that no campaign can have is left out: it would lead the lock's file elsewhere.
    """
    from worldvla.campaigns import NAME, campaign_names

    names = set(campaign_names())
    if lake.exists("materializations"):
        recorded = lake.frame("materializations", ["campaign"])["campaign"].drop_nulls().unique()
        names |= {name for name in recorded if NAME.fullmatch(name)}
    with ExitStack() as stack:
        for name in sorted(names):
            stack.enter_context(campaign_lock(name, "which looks after the lake"))
        stack.enter_context(nobody_at_work())
        yield
