"""What a suite is, and the node of the asset graph on whose behalf it is asked."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import pandas as pd

from worldvla.config import Campaign
from worldvla.lake.store import Lake, quoted
from worldvla.quality.expectation import Expectation


@dataclass(frozen=True)
class Scope:
    """A node and the content it is about to publish: which rows are audited, and by which configuration.

    `assets` are all that the graph has; `parents` maps the node's parent assets to the data versions that it read.
    """

    asset: str
    campaign: str
    iteration: str
    data_version: str
    config: Campaign
    assets: Collection[str]
    parents: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """`campaign.iteration.asset`, as Data Docs name it."""
        return ".".join(part for part in (self.campaign, self.iteration, self.asset) if part)


@dataclass(frozen=True)
class Suite:
    """The expectations on one table.

    `read(lake, scope)` gives the rows to be audited, with what must be joined to judge them and
    without columns of bytes. `expect(rows, scope)` adds columns of facts and returns what must
    hold of them. `keys` are the columns that name a row that fails.
    """

    name: str
    keys: tuple[str, ...]
    read: Callable[[Lake, Scope], pd.DataFrame]
    expect: Callable[[pd.DataFrame, Scope], list[Expectation]]


def rows(lake: Lake, table: str, **equal: str) -> pd.DataFrame:
    """The rows of a table whose columns have these values; none where the table is not in use."""
    where = " AND ".join(f"{column} = {quoted(value)}" for column, value in equal.items())
    return lake.frame(table, where=where or None).to_pandas()
