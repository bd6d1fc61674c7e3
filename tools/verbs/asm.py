"""``presil asm``: text to object file; silent when all is well."""

from __future__ import annotations

import click

from tools.options import pairs


@click.command(short_help="Assemble a program into an object file.")
@click.argument("file")
@click.option("-o", "--output", metavar="OUT", help="The ELF object file to write.")
@click.option("-l", "--list", "listing", is_flag=True, help="List every word with its line.")
@click.option("--chip", metavar="NAME", help="Chip instead of the file's .chip line.")
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    help="A symbol that the file defines under .ifndef.",
)
@click.option("--with", "overrides", metavar="KEY=VALUE", multiple=True,
              help="A chip value, see 'presil chips NAME'.")  # fmt: skip
def asm(
    file: str, output: str | None, listing: bool, chip: str | None, settings: tuple[str, ...],
    overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Assemble FILE; without -o it is only checked.

    Prints nothing on success. All errors of the text are reported at once.
    """
    from tools.filejob import load_program
    from tools.files import check_writable, write_bytes
    from tools.jobs import Request

    if output is not None:
        check_writable("-o", output)
    chosen = pairs("--set", settings, "name=value")
    changed = pairs("--with", overrides, "key=value")
    program = load_program(file, Request(file, chip, settings=chosen, overrides=changed))
    if output is not None:
        from isa.elf import write_elf

        write_bytes(output, write_elf(program))
    if listing:
        from isa.disasm import disassemble

        click.echo(disassemble(program, listing=True), nl=False)
