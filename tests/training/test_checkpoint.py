"""A checkpoint that cannot be read says so, and what to do."""

import pytest
import torch

from worldvla.errors import UserError
from worldvla.training.checkpoint import Checkpointer


def test_what_was_saved_is_loaded(tmp_path):
    groups = {"policy": {"weight": torch.arange(3.0)}, "empty": {}}
    Checkpointer(tmp_path / "f").save("rl", 4, groups, force=True)
    step, loaded = Checkpointer(tmp_path / "f").load("rl")
    assert step == 4 and loaded.keys() == groups.keys() and loaded["policy"]["weight"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("length", [0, 40, 90])
def test_a_torn_file_is_named_with_the_stage_that_begins_anew(tmp_path, length):
    Checkpointer(tmp_path / "f").save("dynamics", 4, {"weights": {"weight": torch.arange(3.0)}}, force=True)
    [path] = (tmp_path / "f").iterdir()
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match=f"{path.name} is damaged .*: delete it, and dynamics begins anew"):
        Checkpointer(tmp_path / "f").load("dynamics")
