"""Types of the compiled module: words to text."""

from isa.table import InstructionSet, Row

class Printer:
    """Prints the words of an instruction set, remembering what operands look like."""

    def __init__(self, isa: InstructionSet) -> None: ...
    def parts(self, words: bytes, index: int) -> tuple[str, list[tuple[str, str]], Row] | None:
        """Mnemonic, operands as (field, text) and row of word `index`; None if it is none."""
