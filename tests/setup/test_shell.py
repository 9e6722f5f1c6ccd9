"""The set-up scripts' decisions, on machines made of a few stand-in commands in a PATH of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from worldvla.home import project_root

DEB822 = """\
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /keys/main.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /keys/security.gpg
"""
ONE_LINE = """\
# deb http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/keys/main.gpg] http://mirror.example/debian bookworm main contrib
deb http://mirror.example/debian-security bookworm-security main
"""
INDEX_TARGETS = """\
http://mirror.example/debian-security/ bookworm-security main
http://mirror.example/debian/ bookworm main
"""


class Machine:
    """A PATH with only the given commands, and a folder of apt sources."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.apt = folder / "bin", folder / "apt"
        self.bin.mkdir()
        (self.apt / "sources.list.d").mkdir(parents=True)
        for name in ("awk", "sed", "find", "head", "cat", "tail", "cut", "sha256sum", "grep", "rm", "bash"):
            (self.bin / name).symlink_to(shutil.which(name))
        self.command("id", "echo 1000")

    def command(self, name: str, script: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def release(self, **values: str) -> None:
        (self.apt / "os-release").write_text("".join(f'{key}="{value}"\n' for key, value in values.items()))

    def run(self, script: str, stdin: int = subprocess.DEVNULL, **environment: str) -> subprocess.CompletedProcess[str]:
        sources = "source setup/shell.sh; source setup/apt.sh; source setup/system.sh"
        sources += "; source setup/services.sh; source setup/python.sh"
        return subprocess.run(
            ["/bin/bash", "-c", f"set -euo pipefail; root=$PWD; log=/dev/null; {sources}; {script}"],
            cwd=project_root(),
            env={"PATH": str(self.bin), "HOME": str(self.apt), "APT_SOURCES": str(self.apt)}
            | {"OS_RELEASE": str(self.apt / "os-release")}
            | {"POSTGRES_PROGRAMS": str(self.apt / "postgresql"), "POSTGRES_SETTINGS": str(self.apt / "settings")}
            | environment,
            stdin=stdin,
            capture_output=True,
            text=True,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(("file", "text"), [("debian.sources", DEB822), ("debian.list", ONE_LINE)])
def test_backports_come_from_the_machines_own_mirror(machine: Machine, file: str, text: str) -> None:
    (machine.apt / "sources.list.d" / file).write_text(text)
    machine.command("apt-get", f"cat <<'END'\n{INDEX_TARGETS}END")
    assert machine.run("backports_source bookworm").stdout.splitlines() == [
        "Types: deb",
        "URIs: http://mirror.example/debian/",
        "Suites: bookworm-backports",
        "Components: main",
        "Signed-By: /keys/main.gpg",
    ]


def test_without_a_named_keyring_apt_asks_its_trusted_keys(machine: Machine) -> None:
    (machine.apt / "sources.list").write_text("deb http://mirror.example/debian bookworm main\n")
    machine.command("apt-get", f"cat <<'END'\n{INDEX_TARGETS}END")
    assert "Signed-By" not in machine.run("backports_source bookworm").stdout


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="compares versions with dpkg")
@pytest.mark.parametrize(
    ("distribution", "codename", "candidate", "release"),
    [
        ("debian", "bookworm", "22.3.6-1+deb12u1", "bookworm-backports"),
        ("debian", "trixie", "25.0.7-2", ""),
        ("ubuntu", "noble", "24.2.8-1ubuntu1~24.04.1", ""),
        ("ubuntu", "focal", "21.2.6-0ubuntu0.1~20.04.2", None),
    ],
)
def test_the_release_whose_mesa_is_new_enough(
    machine: Machine, distribution: str, codename: str, candidate: str, release: str | None
) -> None:
    (machine.bin / "dpkg").symlink_to(shutil.which("dpkg"))
    machine.release(ID=distribution, VERSION_CODENAME=codename)
    machine.command("apt-cache", f"echo '  Candidate: {candidate}'")
    answer = machine.run("mesa_release")
    assert (answer.stdout.strip() if answer.returncode == 0 else None) == release


def _without_vulkan(machine: Machine) -> None:
    machine.command("python-of-the-test", "echo 'Vulkan finds no device: no driver is installed'; exit 1")


def test_without_root_it_stops_with_the_command_to_run(machine: Machine) -> None:
    _without_vulkan(machine)
    machine.command("apt-get", "exit 1")
    answer = machine.run("python=python-of-the-test; ensure_system")
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].strip() == f"su -c 'make -C {project_root()} system'"


@pytest.mark.parametrize(("manager", "package"), [("dnf", "mesa-vulkan-drivers"), ("pacman", "vulkan-swrast")])
def test_without_apt_it_names_the_packages(machine: Machine, manager: str, package: str) -> None:
    _without_vulkan(machine)
    machine.command(manager, "exit 1")
    answer = machine.run("python=python-of-the-test; ensure_system")
    assert answer.returncode == 1
    assert f"sudo {manager}" in answer.stderr and package in answer.stderr


def test_a_machine_that_renders_is_left_alone(machine: Machine) -> None:
    machine.command("python-of-the-test", "exit 0")
    machine.command("apt-get", "exit 1")
    answer = machine.run("python=python-of-the-test; ensure_system")
    assert (answer.returncode, answer.stderr) == (0, "")


def test_with_root_postgresql_is_installed_and_not_started(machine: Machine) -> None:
    machine.command("id", "echo 0")
    for name in ("env", "mkdir", "tee", "sleep", "kill"):
        (machine.bin / name).symlink_to(shutil.which(name))
    machine.command("apt-get", f'echo "$*" >>{machine.apt}/calls')
    answer = machine.run("ensure_postgres")
    assert answer.returncode == 0, answer.stderr
    last = (machine.apt / "calls").read_text().splitlines()[-1]
    assert last.endswith("install -y --no-install-recommends postgresql")
    assert (machine.apt / "settings" / "createcluster.conf").read_text() == "create_main_cluster = false\n"


def test_where_postgresql_cannot_be_installed_its_tests_are_skipped(machine: Machine) -> None:
    machine.command("id", "echo 0")
    for name in ("env", "mkdir", "tee", "sleep", "kill"):
        (machine.bin / name).symlink_to(shutil.which(name))
    machine.command("apt-get", "echo 'the mirror is down'; exit 100")
    answer = machine.run("ensure_postgres; echo the tests")
    assert (answer.returncode, answer.stdout) == (0, "the tests\n")
    assert "Updating the package lists failed (exit 100)" in answer.stderr
    assert "The tests on PostgreSQL will be skipped" in answer.stderr


def test_without_root_the_tests_on_postgresql_are_skipped_with_the_command_to_run(machine: Machine) -> None:
    machine.command("apt-get", "exit 1")
    answer = machine.run("ensure_postgres")
    assert answer.returncode == 0
    assert f"su -c 'bash {project_root()}/setup/setup.sh tests'" in answer.stderr


def test_a_machine_with_postgresql_is_left_alone(machine: Machine) -> None:
    (machine.apt / "postgresql" / "15" / "bin").mkdir(parents=True)
    (machine.apt / "postgresql" / "15" / "bin" / "initdb").touch()
    machine.command("apt-get", "exit 1")
    answer = machine.run("ensure_postgres")
    assert (answer.returncode, answer.stderr) == (0, "")


def test_another_python_than_3_11_is_passed_over(machine: Machine) -> None:
    machine.command("python3.11", "exit 1")  # a version manager's shim for a version that is not selected
    assert machine.run("find_python").returncode == (0 if Path("/usr/bin/python3.11").exists() else 1)
    machine.command("python3", f'exec {sys.executable} "$@"')
    assert machine.run("find_python").stdout.strip() == "python3"


def test_a_python_that_is_named_is_taken_or_refused(machine: Machine) -> None:
    machine.command("python3.11", f'exec {sys.executable} "$@"')
    answer = machine.run("ensure_python", PYTHON="/no/such/python")
    assert answer.returncode == 1 and "PYTHON=/no/such/python is no Python 3.11 that runs" in answer.stderr
    assert machine.run('ensure_python; echo "$python"', PYTHON=sys.executable).stdout.strip() == sys.executable


def test_half_an_environment_is_made_anew(machine: Machine, tmp_path: Path) -> None:
    """One whose making was killed has a Python and no pip."""
    folder = tmp_path / "checkout"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    ask = f"python={sys.executable}; cd {folder}; is_environment && echo whole || echo half"
    assert machine.run(ask).stdout == "half\n"
    subprocess.run([sys.executable, "-m", "venv", folder / ".venv"], check=True)
    assert machine.run(ask).stdout == "whole\n"


def test_sudo_asks_for_its_password_once_at_the_terminal(machine: Machine) -> None:
    """Commands whose output goes to the log have no terminal to be asked at."""
    for name in ("env", "tee", "sleep", "kill", "touch"):
        (machine.bin / name).symlink_to(shutil.which(name))
    machine.command(
        "sudo",
        f"""
        case $1 in
        -n) exit 1 ;;
        -v) test -t 0 && touch {machine.apt}/allowed ;;
        *) test -e {machine.apt}/allowed && exec "$@" ;;
        esac""",
    )
    machine.command("apt-get", f'echo "$*" >>{machine.apt}/calls')
    script = f"become_root; logged Updating apt_get update; echo text | $as_root tee {machine.apt}/written >/dev/null"
    assert machine.run(script).returncode == 1
    terminal, slave = os.openpty()
    try:
        answer = machine.run(script, stdin=slave)
    finally:
        os.close(terminal)
        os.close(slave)
    assert answer.returncode == 0, answer.stderr
    assert "update" in (machine.apt / "calls").read_text() and (machine.apt / "written").read_text() == "text\n"


def test_without_python_3_11_it_says_what_to_install(machine: Machine) -> None:
    answer = machine.run("find_python() { return 1; }; ensure_python")
    assert answer.returncode == 1
    assert "PYTHON=/path/to/python3.11" in answer.stderr


def test_a_failed_command_shows_the_end_of_its_log(machine: Machine, tmp_path: Path) -> None:
    answer = machine.run(f"log={tmp_path}/log; logged 'Installing things' bash -c 'echo the mirror is down; exit 7'")
    assert answer.returncode == 1
    assert "the mirror is down" in answer.stderr
    assert f"the whole output is in {tmp_path}/log" in answer.stderr
