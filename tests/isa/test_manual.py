"""The reference manual is the table's, and it is current."""

from pathlib import Path

from isa.asm.directives import DIRECTIVES
from isa.lpu import LPU
from isa.manual import lpu_manual

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_manual_is_current() -> None:
    text = (DOCS / "isa-lpu.md").read_text()
    assert text == lpu_manual(), "write it anew: python -m isa.manual > docs/isa-lpu.md"


def test_everything_is_in_it() -> None:
    text = lpu_manual()
    for row in LPU.rows:
        assert f"### {row.name}\n" in text
        assert row.syntax in text
    for name in DIRECTIVES:
        assert f"`.{name}`" in text
