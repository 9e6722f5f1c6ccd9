"""What Dagster would do with values that assets return: nothing.

Its default IO manager pickles them into files and unpickles them downstream. Assets here
hand everything over through the lake, so whatever asks for a stored value is a mistake.
"""

from typing import Any, NoReturn

import dagster as dg


class LakeOnly(dg.IOManager):
    """Refuses to store and to load."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> NoReturn:
        raise TypeError(f"{context.step_key} returned a value: write it to the lake and return a MaterializeResult")

    def load_input(self, context: dg.InputContext) -> NoReturn:
        raise TypeError(f"an asset takes a value as input {context.name}: read it from the lake")


RESOURCES = {"io_manager": LakeOnly()}
