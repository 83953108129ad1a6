"""What the pages point at is there: links, files of the tree, commands and their options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from hyok.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("hsm/**/*.md")])
SOURCE = re.compile(r"`((?:[a-z0-9_]+/)+[a-z0-9_]+\.py)`")
COMMANDS = typer.main.get_command(app)  # takes a tenth of a second each time
COMMAND = re.compile(r"`(?:\./)?hyok ([a-z][a-z0-9 -]*)")


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_module_that_a_page_names_is_there(page: Path) -> None:
    for name in SOURCE.findall(page.read_text()):
        assert any((root / name).exists() for root in (ROOT, ROOT / "src" / "hyok")), name


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    for line in COMMAND.findall(page.read_text()):
        group = COMMANDS
        for word in line.split():
            commands = getattr(group, "commands", None)
            if commands is None:
                break
            assert word in commands or word == "test", f"hyok {line}"
            if word == "test":  # of the shell file ./hyok
                break
            group = commands[word]


def test_every_decision_has_its_number_once_and_its_four_parts() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages[1:]:
        text = page.read_text()
        assert text.startswith(f"# {int(page.name[:4])}. ")
        assert all(part in text for part in ("**Context.**", "**Decision.**", "**Consequences.**"))
