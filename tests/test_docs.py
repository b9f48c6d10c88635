"""The documentation is true: generated pages are up to date, examples run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs import generate
from oyez.server.config import load
from tests.conftest import RunningServer
from tests.operation.clients import accepted

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def fences(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def test_the_generated_page_is_up_to_date() -> None:
    assert generate.PAGE.read_text() == generate.page(), "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_are_named_exist(page: Path) -> None:
    for file, test in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text()):
        assert f"def {test}" in (ROOT / file).read_text(), f"{file}::{test}"


def test_the_example_configuration_is_valid(tmp_path: Path) -> None:
    for number, text in enumerate(fences(ROOT / "docs/guide/configuration.md", "toml")):
        file = tmp_path / f"example-{number}.toml"
        file.write_text(text)
        settings = load(file)
        assert settings.apps[0].app().tokens[0].key == "shop-key"


def test_the_python_example_of_the_readme_publishes(server: RunningServer) -> None:
    (example,) = fences(ROOT / "README.md", "python")
    with accepted(server) as client:
        client.subscribe("my-channel")

        subprocess.run(
            [sys.executable, "-c", example.replace("6001", str(server.port))],
            check=True,
            timeout=120,
        )

        message = client.receive("my-event")
        assert message["data"] == '{"message": "hello world"}'
