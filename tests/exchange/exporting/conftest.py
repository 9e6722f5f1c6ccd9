from pathlib import Path

import pytest

from tests.factories import synthetic_lake
from worldvla.lake.store import Lake


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two iterations of campaign `demo`; nothing may be written to it."""
    return synthetic_lake(Path(tmp_path_factory.mktemp("exported") / "lake"))
