"""The assembler: text in, `isa.program.Program` out.

Read in this order: `source` (lines and their parts), `expression`, `target` (what a machine class
is here) and `machines` (those there are), `state`, `assembler` (the loop), `_reader` (plain lines,
compiled), `instructions` (all others), `expectations`, then what the `directives` do: `blocks`,
`tensors`, `layouts`, `values`.
"""

from isa.asm.assembler import assemble
from isa.asm.target import MachineInfo, Target
from isa.diagnostics import AssemblyError

__all__ = ["AssemblyError", "MachineInfo", "Target", "assemble"]
