"""Built programs survive text and object files unchanged."""

import pytest

from emulator.lpu.chip import load
from isa.asm import assemble
from isa.disasm import disassemble
from isa.elf import read_elf, write_elf
from programs.registry import kernels

CHIP = load("lpu-lp30")
SMALL = {"attention": {"heads": 2, "seq": 40, "kv": 50}, "swiglu": {"m": 9, "n": 60, "k": 330}}


@pytest.mark.parametrize("name", kernels("lpu"))
def test_text_and_object_files_keep_the_program(name):
    kernel = kernels("lpu")[name]
    params = kernel.resolve(SMALL.get(name, {}))
    program = kernel.build(CHIP, kernel.default_dtype(CHIP), params)
    again = assemble(disassemble(program), f"{name}.s", load_chip=load)
    assert [(s.name, s.words) for s in again.sections] == [
        (s.name, s.words) for s in program.sections
    ]
    assert again.tensors == program.tensors
    assert dict(again.expects) == dict(program.expects)
    assert again.sha256 == program.sha256
    assert read_elf(write_elf(program)) == program
