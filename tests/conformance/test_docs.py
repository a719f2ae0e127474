"""The README is complete and true: its tables are the code's, its commands exist, its journey runs."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click import Command, Context, Group

from modelyard.cli.main import main
from tests import publishing_tables
from tests.readme_tables import README, with_tables
from tests.running import RunningService, running

JOURNEY = re.compile(r"<!-- journey:[^\n]*-->\n```bash\n(.*?)```", re.DOTALL)


def test_the_readme_tables_are_those_of_the_code(tmp_path: Path) -> None:
    """Settings, problem types and routes: `python -m tests.readme_tables` writes them."""
    text = README.read_text()
    assert with_tables(text, tmp_path) == text


def test_the_page_about_publishing_lists_the_families_that_are_accepted() -> None:
    """`python -m tests.publishing_tables` writes the table."""
    text = publishing_tables.PAGE.read_text(encoding="utf-8")
    assert publishing_tables.with_tables(text) == text


def test_every_wall_of_the_threat_model_names_tests_that_exist() -> None:
    """By file and function, and every file that it points to is there."""
    text = (README.parent / "docs" / "threat-model.md").read_text(encoding="utf-8")
    walls = [
        line
        for line in text.split("## The walls")[1].split("###")[0].splitlines()
        if line.startswith("| ") and not line.startswith("| wall")
    ]
    assert len(walls) == 8
    for row in walls:
        named = re.findall(r"`(\w+/\w+\.py)::(\w+)`", row)
        assert named, row
        for file, function in named:
            assert re.search(rf"^def {function}\(", (README.parent / "tests" / file).read_text(encoding="utf-8"), re.MULTILINE), (
                f"{file}::{function}"
            )
    for file in re.findall(r"`((?:unit|integration|conformance)/\w+\.py)`", text):
        assert (README.parent / "tests" / file).is_file(), file


def every_command() -> dict[str, Command]:
    """Return each command under its name."""
    context = Context(main)
    found = {name: main.get_command(context, name) for name in main.list_commands(context)}
    assert len(found) >= 6
    return {name: command for name, command in found.items() if command is not None}


def test_the_readme_names_every_command() -> None:
    """Each command and subcommand stands in the table of commands."""
    table = README.read_text().split("## Commands")[1].split("## ")[0]
    for name, command in every_command().items():
        assert f"`modelyard {name}" in table
        for subcommand in command.commands if isinstance(command, Group) else ():
            assert f"`modelyard {name} {subcommand}`" in table or f"`{subcommand}`" in table


def test_every_command_helps_with_an_example() -> None:
    """`--help` of each command ends with an example that can be typed."""
    for name, command in every_command().items():
        leaves = command.commands.values() if isinstance(command, Group) else [command]
        for leaf in leaves:
            assert "Example: " in (leaf.help or ""), f"{name} {leaf.name}"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Give a service that was started for the first time."""
    with running(tmp_path_factory.mktemp("docs") / "instance", measured=False) as started:
        yield started


def test_the_first_start_prints_curl_lines_that_work(service: RunningService) -> None:
    """Each curl line that `serve` prints can be copied into a shell."""
    service.wait_for_log("  curl ", times=3)
    lines = [line.strip() for line in service.log().splitlines() if line.startswith("  curl ")]
    assert len(lines) == 3
    for line in lines:
        done = subprocess.run(
            ["bash", "-c", line.replace("curl ", "curl -sf ", 1)], capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 0, line + done.stderr


def test_the_readme_journey_works_as_it_stands(service: RunningService, tmp_path: Path) -> None:
    """The block of curl lines runs from top to bottom and rolls back to version 1."""
    block = JOURNEY.search(README.read_text())
    assert block is not None
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "instance").symlink_to(service.instance)
    script = block[1].replace("http://127.0.0.1:8000", service.url).replace("/tmp/", f"{tmp_path}/")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with service.client() as client:
        assert client.get("/models/iris/aliases/production").json()["version"] == 1
        assert client.get("/keys").json()["items"][0]["name"] == "shop"
