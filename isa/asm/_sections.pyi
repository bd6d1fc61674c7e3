"""Types of the compiled module: sections in the making, and what the reader knows."""

from isa.asm.expression import Scope
from isa.asm.source import Frame
from isa.forms import Form

class Pattern: ...
class Operand: ...

class Section:
    """A queue in the making.

    `time` is the first cycle in which its next instruction may issue; `last` the cycle of the
    latest issue and `hold` how long that keeps the unit, which a repeat needs. `patterns` are what
    the reader knows of mnemonics in sections of this `kind`, `pending` the labels that wait for the
    next word.
    """

    name: str
    kind: str
    patterns: dict[str, Pattern]
    labels: dict[str, Label]
    words: bytearray
    origins: list[tuple[int, int]]
    pending: list[str]
    time: int
    last: int
    hold: int
    repeatable: bool
    def __init__(
        self, name: str, kind: str, patterns: dict[str, Pattern], labels: dict[str, Label]
    ) -> None: ...
    def append(self, word: bytes, hold: int, span: int, origin: tuple[int, int]) -> None: ...
    def skip(self, words: bytes, cycles: int, origin: tuple[int, int]) -> None: ...
    def bind_labels(self, repeat: bool = False) -> None: ...
    def learn(self, mnemonic: str, form: Form, hold: int, span: int, varying: bool) -> None: ...

class Label:
    """A label: the word it stands for, and the cycle in which that issues.

    It belongs to the next instruction of its section; until that comes, `word` is -1.
    """

    section: Section
    word: int
    time: int
    kept: bool
    file: int
    line: int
    def __init__(
        self, section: Section, word: int, time: int, kept: bool, file: int, line: int
    ) -> None: ...

class Deferred:
    """An instruction that waits for a name to be defined: for `operand` alone, or altogether."""

    section: Section
    word: int
    text: str
    at: int
    frame: Frame
    line: int
    raw: str
    operand: Operand | None
    name: str | None
    def __init__(
        self,
        section: Section,
        word: int,
        text: str,
        at: int,
        frame: Frame,
        line: int,
        raw: str,
        operand: Operand | None = None,
        name: str | None = None,
    ) -> None: ...
    def fill(self, scope: Scope) -> bool: ...
