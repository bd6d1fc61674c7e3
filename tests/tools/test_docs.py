"""Generated parts of README and docs/ are current, and the pages point at what exists."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from tools import docs

PAGES = list(docs.pages())


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_generated_parts_are_current(page: Path) -> None:
    text = page.read_text()
    assert docs.current(text) == text, f"{page.name} is out of date: python -m tools.docs"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_slow_parts_are_current(page: Path) -> None:
    text = page.read_text()
    assert docs.current(text, slow=True) == text, f"{page.name}: python -m tools.docs --slow"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_parts_are_known_and_closed(page: Path) -> None:
    text = page.read_text()
    names = [n.removeprefix(docs.SLOW) for n in re.findall(r"<!-- begin (.+?) -->", text)]
    assert text.count("<!-- end -->") == len(names)
    assert all(name in docs.PARTS or name.startswith("$ presil ") for name in names)


def test_stale_pages_are_named_and_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setitem(docs.PARTS, "sample", lambda: "new")
    page = tmp_path / "README.md"
    page.write_text("a\n<!-- begin sample -->\nold\n<!-- end -->\nz\n")
    assert docs.main(["--check"]) == 1
    assert "README.md: out of date" in capsys.readouterr().out
    assert docs.main([]) == 0
    assert page.read_text() == "a\n<!-- begin sample -->\n\nnew\n\n<!-- end -->\nz\n"
    assert docs.main(["--check"]) == 0


def test_slow_parts_wait_until_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(docs.PARTS, "sample", lambda: "new")
    page = "<!-- begin slow sample -->\nold\n<!-- end -->"
    assert docs.current(page) == page
    assert "new" in docs.current(page, slow=True)


def test_python_examples_of_the_numbers_page() -> None:
    page = docs.ROOT / "docs" / "numerics.md"
    found = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert found.attempted > 10
    assert found.failed == 0
