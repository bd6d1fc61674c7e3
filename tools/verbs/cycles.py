"""``presil cycles``: timing without values, in depth."""

from __future__ import annotations

from typing import Any

import click

from tools.options import target_options
from tools.problem import Problem

EXAMPLES = (
    "presil cycles matmul --set m=1 --set n=4096 --set k=4096 --dtype e4m3",
    "presil cycles attention --timeline 0:160",
)


@click.command(short_help="Count cycles without values, in depth.")
@target_options
@click.option("--timeline", metavar="A:B", help="Show cycles A to B-1, a row per queue or unit.")
@click.option("--core", type=int, metavar="N", help="NPU: the core of the timeline; 0.")
@click.option("--section", "names", metavar="NAME", multiple=True, help="Only this section.")
@click.option("--all", "everything", is_flag=True, help="Every section, every instruction.")
@click.pass_context
def cycles(
    ctx: click.Context,
    /,
    timeline: str | None,
    core: int | None,
    names: tuple[str, ...],
    everything: bool,
    **options: Any,
) -> None:
    """Count the cycles of a kernel or program and say where they went; no values are computed.

    Sections: summary, light, phases, units, account, waits, memory, instructions, bound, hazards,
    provenance.
    """
    from tools.verbs.common import line_of, usage

    if options["target"] is None:
        usage(ctx, EXAMPLES)
    if options["outs"]:
        raise Problem("--out: cycles computes no values", help="presil run computes them")
    from tools.depth import check_sections, cycles_page
    from tools.timeline import parse_range

    check_sections(names)
    chosen = parse_range(timeline) if timeline is not None else None
    if core is not None and chosen is None:
        raise Problem("--core goes with --timeline", help="write --timeline 0:10000")
    line = line_of({**options, "timeline": chosen, "core": core})
    report = line.execute("timing")
    if line.to_stdout:
        click.echo(report.to_json())
        return
    from tools.page import show

    show(cycles_page(report, names, everything, chosen))
