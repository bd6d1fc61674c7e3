"""What the machines' instructions are: tables, programs, assembler, disassembler, object files.

Imports nothing of the project and nothing outside the standard library, so that the build can
read the tables before anything is compiled. Read in this order: `fields` (one operand, four
directions), `operands` and `table` (one row per instruction), `lpu` and `npu` (the rows), `forms`
(a row with its suffixes), `program` (what an assembler or a builder produces), `diagnostics`,
then `asm`, `disasm`, `elf`, `manual`.
"""
