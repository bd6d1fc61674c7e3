"""The same assembler for the other machine class: sections, branches, functions, flat tensors."""

from emulator.npu.chip import load
from isa.asm import AssemblyError, assemble
from isa.disasm import disassemble
from isa.elf import read_elf, write_elf
from isa.npu import NPU

TEXT = """\
.chip npu-tiny
.tensor a, fp32, [4, 4], in, at=0x1000
.tensor b, mxfp4, [4], const, at=0x2000, data=[0x1, 0x2, 0x3, 0x4]
.equ N, 10

.core vector
    mov x1, N
loop: sub x1, x1, 1
    br.ne x1, 0, loop
    br.eq x1, 0, out
    vcall noise
out: jump end
end:

.simd silence
.simt noise
    texit
"""
WORDS = [
    "mov x1, 10", "sub x1, x1, 1", "br.ne x1, 0, 1", "br.eq x1, 0, 5", "vcall 1", "jump 6",
]  # fmt: skip


def test_labels_may_come_later() -> None:
    program = assemble(TEXT, load_chip=load)
    assert program.isa == "npu"
    assert [s.name for s in program.sections] == ["core.vector", "simd.silence", "simt.noise"]
    assert [NPU.print(NPU.decode(word)) for word in program.sections[0]] == WORDS
    assert program.symbols["end"] == ("core.vector", 6)
    assert program.tensor("b").layouts[0].base == 0x2000


def test_sections_say_which_machine_it_is() -> None:
    assert assemble(".core cube\n").isa == "npu"
    assert assemble(".chip npu-9000\n").isa == "npu"


def test_disassembly_names_the_targets() -> None:
    program = assemble(TEXT, load_chip=load)
    text = disassemble(program)
    assert "loop: sub x1, x1, 1\n    br.ne x1, 0, loop\n" in text
    again = assemble(text, load_chip=load)
    assert (again.sha256, again.symbols) == (program.sha256, program.symbols)
    assert read_elf(write_elf(program)) == program
    assert "@0" not in disassemble(program, listing=True)


def test_mistakes() -> None:
    text = TEXT.replace("jump end", "jump edn").replace("vcall noise", "vcall nosie")
    text += ".core cub\n.simd f\n    texit\n@5 mov x1, 1\n.queue vxm.0\n"
    try:
        assemble(text, load_chip=load)
    except AssemblyError as error:
        found = [(d.line, d.message) for d in error.diagnostics]
    assert found == [
        (11, "the symbol 'nosie' has no value"),
        (12, "the symbol 'edn' has no value"),
        (18, "a core is cube or vector, not 'cub'"),
        (20, "texit runs on simt; simd.f is simd"),
        (21, "the npu issues instructions when it can, not when told"),
        (22, "'.queue' is not for this machine; the npu has '.core' or '.simd' or '.simt'"),
    ]
