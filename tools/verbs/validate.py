"""``presil validate``: predictions against published measurements."""

from __future__ import annotations

import click

from tools.options import json_option


@click.command(short_help="Hold predictions against published measurements.")
@click.argument("tables", metavar="[FILE.csv]...", nargs=-1)
@click.option("--chip", metavar="NAME", help="Only rows of this chip.")
@click.option("--kernel", metavar="NAME", help="Only rows of this kernel.")
@click.option("--with", "overrides", metavar="KEY=VALUE", multiple=True,
              help="A chip value, see 'presil chips NAME'; goes with --chip.")  # fmt: skip
@json_option
@click.option(
    "--sensitivity",
    is_flag=True,
    help="Also find the five chip values that move each row most; takes a while.",
)
@click.option("--plot", "plot_to", metavar="FILE.png|svg",
              help="Draw predicted against published.")  # fmt: skip
def validate(
    tables: tuple[str, ...], chip: str | None, kernel: str | None, overrides: tuple[str, ...],
    sensitivity: bool, json_to: str | None, plot_to: str | None,
) -> None:  # fmt: skip
    """Run every row of the tables that come with Presil, or of your own, and print the errors.

    Errors of whole runs are relative, those of units are points of the run. Figures by which a
    chip value was chosen are marked, and summarised apart. A row that gives choices of the builder
    (tile, blocks) also shows the prediction with the builder's own.

    A table of your own is a CSV file with columns kernel, chip, dtype, any kernel parameters, and
    what was measured: cycles, time_us, UNIT_us or UNIT_share.
    """
    from tools.files import check_writable
    from tools.options import pairs
    from tools.page import show
    from tools.problem import Problem
    from tools.progress import Progress
    from tools.published import read_table, shipped
    from tools.validation import choose
    from tools.validation import validate as compare
    from tools.validationpage import page
    from tools.verbs.output import put_text

    if overrides and (chip is None or sensitivity):
        raise Problem("--with goes with --chip, and not with --sensitivity")
    if json_to not in (None, "-"):
        check_writable("--json", str(json_to))
    if plot_to is not None:
        from tools.plot import check_plot

        check_plot(plot_to)
    rows = [row for path in tables or shipped() for row in read_table(path)]
    chosen = choose(rows, chip, kernel)
    with Progress("validate") as progress:
        found = compare(chosen, pairs("--with", overrides, "key=value"), progress)
        if sensitivity:
            from tools.sensitivity import effects

            found = found.model_copy(update={"effects": effects(chosen, progress)})
    if plot_to is not None:
        from tools.plot import validation_plot

        validation_plot(found, plot_to)
    if json_to is not None:
        put_text(found.to_json(), json_to)
    if json_to != "-":
        show(page(found))
