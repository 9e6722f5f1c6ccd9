"""LIBERO's assets, as for the tests of its simulator."""

from tests.sim.libero.conftest import libero_assets

__all__ = ["libero_assets"]
