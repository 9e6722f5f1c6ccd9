"""Who makes a change: written into every Lance transaction, so a version names its cause."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Commit:
    """The run and the node of the asset graph on whose behalf rows are written.

    `campaign` and `iteration` are empty where the scope has none.
    """

    run_id: str
    asset: str
    campaign: str = ""
    iteration: str = ""
    code_version: str = ""

    def properties(self) -> dict[str, str]:
        """The Lance transaction properties of this commit."""
        return {
            "run_id": self.run_id,
            "asset": self.asset,
            "campaign": self.campaign,
            "iteration": self.iteration,
            "code_version": self.code_version,
        }
