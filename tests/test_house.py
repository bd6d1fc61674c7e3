"""The rules of the house: who imports what, how large files are, where numbers come from."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from emulator.chip import CHIP_DIRECTORY, chip_names
from isa.dispatch import includes
from tools.chipinfo import STATUSES, entries

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("isa", "emulator", "programs", "tools")
CODE = sorted(
    path
    for folder in (*PACKAGES, "tests", "benchmarks", ".ci")
    for kind in ("*.py", "*.pyx", "*.pxi", "*.pxd", "*.pyi")
    for path in (ROOT / folder).rglob(kind)
)
MOST_LINES = 600


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("name", chip_names())
def test_every_chip_value_has_a_source(name: str) -> None:
    for entry in entries(name):
        assert entry.status in STATUSES, f"{name}: {entry.path} has no status"
        assert entry.source, f"{name}: {entry.path} has no source"


def test_chip_files_are_found() -> None:
    assert {"lpu-lp30", "lpu-tiny", "lpu-tsp1"} <= set(chip_names())
    assert CHIP_DIRECTORY.is_dir()


def imported(path: Path) -> set[str]:
    """The top-level names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)} has a relative import"
            names.add(str(node.module).split(".")[0])
    return names


def test_isa_imports_nothing_but_the_standard_library() -> None:
    """The build reads the tables before anything is installed or compiled."""
    for path in (ROOT / "isa").rglob("*.py"):
        foreign = imported(path) - sys.stdlib_module_names - {"isa"}
        assert not foreign, f"{relative(path)} imports {foreign}"


def test_emulator_prints_nothing() -> None:
    for path in (ROOT / "emulator").rglob("*.py"):
        calls = [
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        assert "print" not in calls, relative(path)


def generated(path: Path) -> bool:
    return relative(path) in includes()


def test_files_have_room_to_be_read() -> None:
    long = {relative(p): len(p.read_text().splitlines()) for p in CODE if not generated(p)}
    assert {name: lines for name, lines in long.items() if lines > MOST_LINES} == {}


def test_every_compiled_module_has_a_stub() -> None:
    sources = [p for p in CODE if p.suffix == ".pyx"]
    assert sources
    assert [relative(p) for p in sources if not p.with_suffix(".pyi").exists()] == []


def test_generated_includes_are_those_of_the_tables() -> None:
    for name, text in includes().items():
        path = ROOT / name
        assert path.exists(), f"{name} is written by the build: pip install -e ."
        assert path.read_text() == text, f"{name} is older than its table: pip install -e ."


def test_no_file_names_a_machine_or_registry() -> None:
    """Paths of one computer and hosts of package indexes have no place in the project."""
    place = re.compile(r"(?<![\w./])/(?:work|root|home)/|" + r"pypi\.org|pythonhosted\.org")
    pages = [ROOT / "README.md", ROOT / "pyproject.toml", ROOT / "setup.py", ROOT / ".ci/run"]
    for path in [*CODE, *pages, *(ROOT / "docs").glob("*.md")]:
        if path != Path(__file__):
            found = place.search(path.read_text())
            assert found is None, f"{relative(path)}: {found}"
