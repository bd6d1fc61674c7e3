"""Expressions: C's operators and their precedence, over integers and floats.

Integers are exact up to 128 bits; ``/`` and ``%`` truncate toward zero as in C, ``/`` divides
exactly where one side is a float. Comparisons give 1 or 0. A name is a symbol, or a label met
before (its value is the cycle in which its instruction issues); ``.`` is the next free cycle of
the queue. ``min`` and ``max`` take numbers; chip facts such as ``latency(mem.read)`` take names.

`Scope` holds the names that expressions may use: `symbols` are numbers; `lookup` finds what else a
name may mean (labels, ``.``); `facts` are the chip's functions, which take names and raise
`ValueError`. `used` is set when a value depended on anything but literals.

>>> scope = Scope({"BASE": 16})
>>> scope.evaluate("BASE + 4 * (7 / 2)")
28

`expression_end` says where the expression that begins at a position ends: before a word that it
cannot go on with.

>>> text = "T + max(1, 2) read s0.e"
>>> text[: expression_end(text, 0)]
'T + max(1, 2)'
"""

from isa.asm._expression import CONSTANTS, ExpressionError, Scope, expression_end

Number = int | float

__all__ = ["CONSTANTS", "ExpressionError", "Number", "Scope", "expression_end"]
