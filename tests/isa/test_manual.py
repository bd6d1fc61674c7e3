"""The reference manuals are the tables', and they are current."""

from pathlib import Path

import pytest

from isa.asm.directives import DIRECTIVES
from isa.manual import MANUALS, manual

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("machine", MANUALS)
def test_the_manual_is_current(machine) -> None:
    text = (DOCS / f"isa-{machine}.md").read_text()
    command = f"python -m isa.manual {machine} > docs/isa-{machine}.md"
    assert text == manual(machine), f"write it anew: {command}"


@pytest.mark.parametrize("machine", MANUALS)
def test_everything_is_in_it(machine) -> None:
    text = manual(machine)
    for row in MANUALS[machine].isa.rows:
        assert f"### {row.name}\n" in text
        assert row.syntax in text
    for name in DIRECTIVES:
        assert f"`.{name}`" in text
