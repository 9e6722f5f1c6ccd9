"""What the files for containers say, which nothing here can run: at least no secret, no open port, no false claim."""

import re

import pytest
import yaml

from worldvla.home import project_root

FILES = ("Dockerfile", "docker-compose.yaml", "deploy/helm/values.yaml")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_not_run_says_so(name: str) -> None:
    assert "NOT RUN" in (project_root() / name).read_text().split("\n\n")[0]


def test_compose_publishes_on_this_machine_alone_and_takes_its_secrets_from_the_environment() -> None:
    text = (project_root() / "docker-compose.yaml").read_text()
    services = yaml.safe_load(text)["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)
    secrets = re.findall(r"(?:PASSWORD|SECRET_ACCESS_KEY): (.+)|worldvla:(\S+)@", text)
    assert len(secrets) >= 4 and all("${" in "".join(found) for found in secrets)


def test_the_chart_is_of_the_version_that_is_installed() -> None:
    lock = (project_root() / "requirements.lock").read_text()
    version = re.search(r"^dagster==(\S+)$", lock, re.MULTILINE)[1]
    assert f"--version {version} " in (project_root() / "deploy/helm/values.yaml").read_text()
    yaml.safe_load((project_root() / "deploy/helm/values.yaml").read_text())
