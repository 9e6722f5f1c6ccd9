"""`worldvla tonight` as a person or a script runs it."""

import json
import subprocess
import sys

from tests.pipelines.nights import CAMPAIGN, ask
from worldvla.home import project_root


def test_the_command_prints_a_table_or_one_array(tmp_path, monkeypatch):
    ask(tmp_path, monkeypatch, every_night={})

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "worldvla.cli.main", "tonight", *arguments]
        return subprocess.run(command, cwd=project_root(), capture_output=True, text=True, timeout=300)

    done = run("--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [(row["campaign"], row["iteration"]) for row in found] == [(CAMPAIGN, None), (CAMPAIGN, "0000")]
    assert found[0]["assets"] and found[0]["deadline"].endswith("07:00:00+00:00")
    people = run()
    assert people.returncode == 0 and "the schedule nightly_campaigns is off" in people.stdout
    wrong = run("--campaign", "unheard")
    assert (wrong.returncode, wrong.stdout) == (2, "") and "no campaign 'unheard'" in wrong.stderr
