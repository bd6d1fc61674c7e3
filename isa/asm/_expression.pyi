"""Types of the compiled module; see `isa.asm.expression`."""

from collections.abc import Callable, Mapping

from isa.fields import FieldError

Number = int | float
CONSTANTS: dict[str, float]

class ExpressionError(FieldError): ...

class Scope:
    symbols: dict[str, Number]
    lookup: Callable[[str], Number | None] | None
    facts: Mapping[str, Callable[..., Number]]
    used: bool
    def __init__(
        self,
        symbols: dict[str, Number],
        lookup: Callable[[str], Number | None] | None = None,
        facts: Mapping[str, Callable[..., Number]] | None = None,
    ) -> None: ...
    def evaluate(self, text: str) -> Number: ...
    def value(self, name: str) -> Number: ...

def expression_end(text: str, position: int) -> int: ...
