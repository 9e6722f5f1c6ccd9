"""How a record's task is found by what it is called."""

import pytest

from worldvla.exchange.importing.mapping import Mapping
from worldvla.exchange.importing.record import Unmappable
from worldvla.exchange.importing.words import Words, slug

NOTHING_MAPPED = Mapping({})


class Called:
    def __init__(self, instruction: str, task: str | None = None) -> None:
        self.instruction, self.task = instruction, task


def test_an_instruction_names_its_task():
    assert Words("libero_goal").of(Called("Turn on the stove."), NOTHING_MAPPED)[0] == "turn_on_the_stove"
    assert Words("my_robot").of(Called("Turn on the stove."), NOTHING_MAPPED)[0] == "turn_on_the_stove"


def test_an_instruction_of_several_tasks_names_none():
    with pytest.raises(Unmappable, match="'turn on the stove' is what 2 tasks of suite libero_90 are called: KITCHEN"):
        Words("libero_90").of(Called("turn on the stove"), NOTHING_MAPPED)
    said = Words("libero_90", task="KITCHEN_SCENE3_turn_on_the_stove")
    assert said.of(Called("turn on the stove"), NOTHING_MAPPED)[0] == "KITCHEN_SCENE3_turn_on_the_stove"


def test_instructions_of_any_script_make_tasks():
    assert Words("my_robot").of(Called("拿杯子"), NOTHING_MAPPED) == ("拿杯子", "拿杯子")
    assert slug("Schließe die Tür!") == "schliesse_die_tür" == slug("Schließe die Tu\u0308r")
