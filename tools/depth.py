"""The page of ``presil cycles``: the llvm-mca order, one screen by default, more on request."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import RenderableType
from rich.text import Text

from tools import report as page_of
from tools.page import heading, sections
from tools.problem import Problem, suggestion
from tools.runreport import RunReport
from tools.timeline import timeline

Section = list[RenderableType]


def _all_instructions(report: RunReport) -> Section:
    return page_of.instructions(report, None)


# Name on the command line -> section; the order is the order of the page.
SECTIONS: dict[str, Callable[[RunReport], Section]] = {
    "summary": page_of.summary,
    "light": page_of.light,
    "phases": page_of.phases,
    "units": page_of.units,
    "account": page_of.unit_account,
    "waits": page_of.waits,
    "memory": page_of.memory,
    "instructions": page_of.instructions,
    "bound": page_of.bound,
    "hazards": page_of.hazards,
    "provenance": page_of.provenance,
}
DEFAULT = (
    "summary", "light", "phases", "units", "account", "instructions", "bound", "provenance",
)  # fmt: skip


def check_sections(names: Sequence[str]) -> None:
    """Refuse a section that there is not, before the run."""
    for name in names:
        if name not in SECTIONS:
            help = suggestion(name, SECTIONS, "sections")
            raise Problem(f"--section: there is no section '{name}'", help=help)


def cycles_page(
    report: RunReport,
    names: Sequence[str] = (),
    everything: bool = False,
    cycles: tuple[int, int] | None = None,
) -> list[RenderableType]:
    """The chosen sections in page order, then the timeline; a timeline alone needs no other."""
    chosen = set(SECTIONS if everything else names or (() if cycles else DEFAULT))
    groups: list[Section] = [page_of.header(report)]
    for name, section in SECTIONS.items():
        if name in chosen:
            show = _all_instructions if everything and name == "instructions" else section
            groups.append(show(report))
    if cycles is not None:
        text = timeline(report.program, report.result, *cycles)
        groups.append([heading("Timeline"), Text(text)])
    return sections(*groups)
