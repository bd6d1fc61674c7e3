"""``presil disasm``: the instructions of a program, or the fields of one word."""

from __future__ import annotations

import re

import click

from tools.problem import Problem


@click.command(short_help="Show the instructions of a program or word.")
@click.argument("file", required=False)
@click.option(
    "-l",
    "--list",
    "listing",
    is_flag=True,
    help="A listing with cycles, words and source lines instead of assembly text.",
)
@click.option("--word", metavar="HEX", help="Explain one 16-byte word, written as a number.")
@click.option("--isa", default="lpu", metavar="NAME", help="Machine class of --word; lpu.")
@click.pass_context
def disasm(
    ctx: click.Context, /, file: str | None, listing: bool, word: str | None, isa: str
) -> None:  # fmt: skip
    """Print FILE (an object file, or assembly text) as assembly that gives the same bytes."""
    if (file is None) == (word is None):
        raise click.UsageError("give a file, or --word HEX", ctx)
    if word is not None:
        click.echo(_explained(word, isa))
        return
    from isa.disasm import disassemble
    from tools.filejob import load_program

    click.echo(disassemble(load_program(str(file)), listing=listing), nl=False)


def _explained(text: str, isa: str) -> str:
    """The instruction of a word, and every field with its bits and value."""
    from isa.disasm import explain_word
    from tools.machines import classes, instruction_set
    from tools.problem import suggestion

    if isa not in classes():
        help = suggestion(isa, classes(), "classes")
        raise Problem(f"--isa: no machine class '{isa}'", help=help)
    digits = text.lower().removeprefix("0x").replace("_", "")
    if not re.fullmatch(r"[0-9a-f]{1,32}", digits):
        raise Problem(f"--word: '{text}' is no number of at most 32 hexadecimal digits")
    return explain_word(int(digits, 16), instruction_set(isa))
