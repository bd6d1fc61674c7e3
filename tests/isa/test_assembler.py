"""What the assembler understands."""

from __future__ import annotations

import time
from pathlib import Path
from types import MappingProxyType

import pytest

from emulator.lpu.chip import load
from isa.asm import AssemblyError, assemble
from isa.lpu import LPU
from isa.program import Digit, Layout, Program, Tensor


def texts(program: Program, section: str = "mem.w0.read") -> list[str]:
    """The instructions of a section, printed."""
    return [LPU.print(LPU.decode(word)) for word in program.section(section)]


def read(body: str, **options) -> list[str]:
    return texts(assemble(f".chip lpu-tiny\n.queue mem.w0.read\n{body}", load_chip=load, **options))


# ---- lines -------------------------------------------------------------------------------------


def test_comments_labels_and_blanks() -> None:
    program = assemble(
        "# a comment\n"
        ".queue mem.w0.read  // another\n"
        "\n"
        "first: second: read s0.e, 1 # of s0\n"
        "\tlone:\r\n"
        "  read s1.w, 2\r\n"
        'read s2.e, 3// "x" #\n'
        '"odd name": .Lhidden:\n'
    )
    assert texts(program) == ["read s0.e, 1", "read s1.w, 2", "read s2.e, 3"]
    place = "mem.w0.read"
    assert program.symbols == {
        "first": (place, 0), "second": (place, 0), "lone": (place, 1), "odd name": (place, 3),
    }  # fmt: skip
    assert program.sections[0].lines == ((0, 4), (0, 6), (0, 7))
    assert program.files == ("<text>",)


def test_queues_are_entered_again() -> None:
    program = assemble(
        ".queue mem.w0.read\n read s0.e, 1\n.queue vxm.1\n nop 1\n.queue mem.w0.read\n nop 2\n"
    )
    assert [section.name for section in program.sections] == ["mem.w0.read", "vxm.1"]
    assert texts(program) == ["read s0.e, 1", "nop 2"]


def test_symbols_and_expressions_in_operands() -> None:
    program = assemble(
        ".equ BASE, 0x10\nNEXT = BASE + 1\n.set SCALE, 1.5\n"
        ".queue mem.w0.read\n read s[1 + 2].e, (NEXT - 1) * 2\n gather s0.e, s2.e, base=BASE\n"
        ".queue vxm.0\n add.fp32 _, s0.e, SCALE * 2\n add.int32 _, s0.e, -BASE\n"
        ".queue sxm.w.0\n distribute.1 s0.e, s0.w, [1, NEXT - 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, "
        "12, 13, 14, BASE]\n"
    )
    assert texts(program) == ["read s3.e, 32", "gather s0.e, s2.e, base=16"]
    assert texts(program, "vxm.0") == ["add.fp32 _, s0.e, 3.0", "add.int32 _, s0.e, -16"]
    entries = ", ".join(map(str, [1, 15, *range(2, 15), 16]))
    assert texts(program, "sxm.w.0") == [f"distribute.1 s0.e, s0.w, [{entries}]"]


def test_symbols_may_change() -> None:
    """What was remembered of a line may not outlive the symbols in it."""
    assert read("A = 1\nread s0.e, A\nA = 2\nread s0.e, A\n") == ["read s0.e, 1", "read s0.e, 2"]


def test_defines_and_conditions() -> None:
    body = """\
    .ifndef N
    .equ N, 1
    .endif
    .if N == 1
    nop 1
    .elseif N == 2
    nop 2
    .if 0
    nop 20
    .else
    nop 21
    .endif
    .else
    nop 3
    .endif
    .ifdef N
    nop 4
    .endif
    """
    assert read(body) == ["nop 1", "nop 4"]
    assert read(body, defines={"N": 2}) == ["nop 2", "nop 21", "nop 4"]
    assert read(body, defines={"N": 5}) == ["nop 3", "nop 4"]


def test_lines_of_skipped_parts_are_not_read() -> None:
    assert read(".if 0\n.nonsense\n!!!\n.endif\nnop 1\n") == ["nop 1"]


# ---- macros and repetitions --------------------------------------------------------------------


def test_macros() -> None:
    body = """\
    .macro load stream, addr=4, times
    x\\@: read s\\stream\\().e, \\addr
    .if \\times > 1
    repeat \\times - 1, 1, 1
    .endif
    .endm
    load 0, 1, 3
    load times=1, stream=2
    """
    program = assemble(f".queue mem.w0.read\n{body}")
    assert texts(program) == ["read s0.e, 1", "repeat 2, 1, 1", "read s2.e, 4"]
    assert program.symbols == {"x0": ("mem.w0.read", 0), "x1": ("mem.w0.read", 2)}


def test_macros_in_macros_and_repetitions() -> None:
    body = """\
    .macro inner a
    nop \\a
    .endm
    .macro outer b
    .rept 2
    inner \\b + \\+
    .endr
    .irp v, 7, 8
    inner \\v
    .endr
    .endm
    outer 5
    """
    assert read(body) == ["nop 5", "nop 6", "nop 7", "nop 8"]


def test_recursive_macros_end() -> None:
    body = """\
    .macro down n
    nop \\n
    .if \\n > 1
    down \\n - 1
    .endif
    .endm
    down 3
    """
    assert read(body) == ["nop 3", "nop 2", "nop 1"]


def test_include(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.inc").write_text('.include "b.inc"\nnop 2\n')
    (tmp_path / "sub" / "b.inc").write_text("nop 1\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "c.inc").write_text("nop 3\n")
    program = assemble(
        '.queue vxm.0\n.include "sub/a.inc"\n.include "c.inc"\n',
        str(tmp_path / "main.s"),
        include_path=[tmp_path / "lib"],
    )
    assert texts(program, "vxm.0") == ["nop 1", "nop 2", "nop 3"]
    names = [Path(name).name for name in program.files]
    assert names == ["main.s", "a.inc", "b.inc", "c.inc"]
    assert program.sections[0].lines == ((2, 1), (1, 2), (3, 1))


# ---- time --------------------------------------------------------------------------------------


def test_placed_instructions_wait() -> None:
    assert read("@3 read s0.e, 0\n@3 + 1 read s0.e, 1\n@10 read s0.e, 2\n") == [
        "nop 3", "read s0.e, 0", "read s0.e, 1", "nop 5", "read s0.e, 2",
    ]  # fmt: skip


def test_long_waits_take_several_words() -> None:
    assert read("@3000000 nop 1\n") == ["nop 1048575", "nop 1048575", "nop 902850", "nop 1"]


@pytest.mark.parametrize(
    ("queue", "lines", "free"),
    [
        ("mem.w0.read", "read s0.e, 0", 1),
        ("mem.w0.read", "nop 7", 7),
        ("mem.w0.read", "read s0.e, 0\nrepeat 3, 2, 1", 7),
        ("mem.w0.read", "read s0.e, 0\nrepeat 3, 2, 1, 4, 10", 47),
        ("mem.w0.read", "nop 5\nread s0.e, 0\nrepeat 3, 2", 12),
        ("mxm.0.weights", "lw.int8 s0.w, rows=16, lanes=32", 1),
        ("mxm.0.weights", "lw.int8 s0.w, rows=17, lanes=32", 2),
        ("mxm.0.weights", "lw.fp16 s0.w, rows=17, lanes=16", 3),
        ("mxm.0.weights", "lw.fp16 s0.w, rows=17, lanes=16\nrepeat 1, 5", 8),
        ("mxm.0.weights", "lws.mxfp8 s0.w\niw", 2),
        ("mxm.0.mm", "mm.int8 s0.w, 0", 1),
        ("mxm.0.mm", "nop 9\nsync", 0),
        ("mxm.0.mm", "nop 9\nsync\nnop 2", 2),
        ("mxm.0.mm", "notify", 1),
    ],
)
def test_how_long_instructions_hold_their_queue(queue: str, lines: str, free: int) -> None:
    text = f".chip lpu-tiny\n.queue {queue}\n{lines}\n"
    base = assemble(text, load_chip=load)
    at = assemble(f"{text}@{free} nop 1\n", load_chip=load)
    assert len(at.sections[0]) == len(base.sections[0]) + 1
    here = assemble(f"{text}nop .\n", load_chip=load)
    assert texts(here, queue)[-1] == f"nop {free}"
    if free:
        with pytest.raises(AssemblyError, match="has passed"):
            assemble(f"{text}@{free - 1} nop 1\n", load_chip=load)


def test_matrix_products_hold_as_the_chip_says() -> None:
    class Mode:
        cycles_per_mm = 4

    class Mxm:
        modes = MappingProxyType({"int8": Mode})

    class Chip:
        name = "slow"
        queues = ("mxm.0.mm",)
        mxm = Mxm

        def queue_unit(self, queue: str) -> str:
            return "mxm.mm"

    program = assemble(".queue mxm.0.mm\nmm.int8 s0.w, 0\nnop .", chip_info=Chip())
    assert texts(program, "mxm.0.mm")[-1] == "nop 4"
    assert program.chip == "slow"


def test_labels_belong_to_the_instruction_and_are_its_cycle() -> None:
    program = assemble(
        ".queue mem.w0.read\n"
        "early:\n late: @5 read s0.e, 0\n last: repeat 3, 2\n"
        ".queue mem.w1.read\n @late + 1 read s1.e, 0\n @last + 2 read s1.e, early\n"
    )
    assert program.symbols["early"] == program.symbols["late"] == ("mem.w0.read", 1)
    assert texts(program, "mem.w1.read") == [
        "nop 6", "read s1.e, 0", "read s1.e, 5",
    ]  # fmt: skip


def test_facts_of_the_chip() -> None:
    chip = load("lpu-tiny")
    body = "nop latency(mem.read)\nnop hops(mem.w3, vxm)\nnop column(mxm.1)\nnop chip(lanes)\n"
    assert read(body) == [
        f"nop {chip.latency['mem.read']}", "nop 2", f"nop {chip.columns - 1}", "nop 32",
    ]  # fmt: skip


# ---- expectations ------------------------------------------------------------------------------


def test_expectations() -> None:
    program = assemble(
        ".queue vxm.0\n"
        "  add.fp32 s0.w, s0.e@(a, b|a, *, a), s4.e@c\n"
        "  add.fp32 s0.w, s0.e @ d, 1.5\n"
        "  add.fp32 s0.w, s0.e@(a*2, ...), a1\n"
        "  add.fp32 s0.w, 1.5, s4.e@a|b\n"
        ".queue mem.w0.read\n"
        "a: read s0.e, 0\nb: read s1.e, 0\nc: nop 3\n"
        '"d": nop 4\n'
    )
    a, b, c, d = ((("mem.w0.read", i),) for i in range(4))
    assert program.expects == {
        ("vxm.0", 0, "a"): (a, b + a, (), a),
        ("vxm.0", 0, "b"): (c,) * 4,
        ("vxm.0", 1, "a"): (d,) * 4,
        ("vxm.0", 2, "a"): (a, a, (), ()),
        ("vxm.0", 3, "b"): (a + b,) * 4,
    }


def test_remembered_lines_keep_their_expectations() -> None:
    line = " write 5, s0.e@a\n"
    program = assemble(f".queue mem.w0.write\n{line}{line} write 6, s0.e@a\n{line}a:\n")
    target = ((("mem.w0.write", 4),),)
    assert program.expects == {("mem.w0.write", i, "a"): target for i in range(4)}


# ---- tensors -----------------------------------------------------------------------------------


def tensor(lines: str, name: str = "x") -> Tensor:
    return assemble(f".chip lpu-tiny\n{lines}\n", load_chip=load).tensor(name)


def test_short_places() -> None:
    slices = ("w1", "w2", "w3", "w4")
    found = tensor(".tensor x, int8, [3, 70], in, at=e0:0x10").layouts
    tiles = (Digit(0, 1, 3, addr=3), Digit(1, 32, 3, addr=1))
    assert found == (Layout(("e0",), 16, tiles, 1, lane_mod=32),)
    found = tensor(".tensor x, fp16, [2, 3, 8], out, at=w1:1+1").layouts
    rows = (Digit(1, 1, 3, addr=1), Digit(0, 1, 2, addr=3))
    assert found == (Layout(slices[:2], 2, rows, 2, lane_mod=8),)
    assert tensor(".tensor x, fp32, [], in, at=w0:0").layouts[0].lane_axis is None


def test_full_places() -> None:
    found = tensor(
        ".tensor x, fp16, [8, 64], in, slices=[w3:w0, e1, e2], base=0x20, lane=1/2%16*2, "
        "digit=0%4:s1, digit=0/4:a8, digit=1/32%2:a1, plane=2, pad=0xff\n"
        ".place x, slices=[w0:w1], lane=none"
    )
    assert found.layouts == (
        Layout(
            slices=("w3", "w2", "w1", "w0", "e1", "e2"),
            base=32,
            digits=(
                Digit(0, 1, 4, slice=1),
                Digit(0, 4, 2, addr=8),
                Digit(1, 32, 2, addr=1),
            ),
            lane_axis=1,
            lane_div=2,
            lane_mod=16,
            lane_repeat=2,
            plane=2,
        ),
        Layout(("w0", "w1"), 0, (), None),
    )
    assert found.pad == 255


@pytest.mark.parametrize(
    ("lines", "data"),
    [
        ("int8, [4], const, at=w0:0, data=[1, -1, 0xff, 2 + 3]", "01ffff05"),
        ("uint16, [2], const, at=w0:0, data=[1, 0xabcd]", "0100cdab"),
        ("fp32, [2], const, at=w0:0, data=[1.0, 0x3f800001]", "0000803f0100803f"),
        ("fp16, [4], const, at=w0:0, data=[1.0, -0.0, inf, 65520.0]", "003c0080007c007c"),
        ("bf16, [3], const, at=w0:0, data=[1.0, 1.00390625, 1e-40]", "803f803f0100"),
        ("e4m3, [3], const, at=w0:0, data=[0x38, 0x7e], fill=0x01", "387e01"),
        ("int32, [3], const, at=w0:0, fill=-2", "feffffff" * 3),
        ("int8, [4], const, at=w0:0\n.byte 1, 2, -1\n.byte 0x80", "0102ff80"),
        ("uint16, [3], const, at=w0:0\n.half 1, 0xffff\n.half -2", "0100fffffeff"),
        ("int32, [2], const, at=w0:0\n.word 1, -1", "01000000ffffffff"),
        ("fp32, [2], const, at=w0:0\n.float 1, 0.5", "0000803f0000003f"),
        ("bf16, [2], const, at=w0:0\n.float 1, -2.0", "803f00c0"),
        ('uint8, [7], const, at=w0:0\n.ascii "a#b", "ä"\n.asciz "z"', "612362c3a47a00"),
        ("int8, [6], const, at=w0:0\n.fill 2, 2, 0x102\n.fill 2", "020102010000"),
        ("int8, [0x4], const, at=w0:0\n.byte 1\n.place x, at=e0:0\n.byte 2, 3, 4", "01020304"),
    ],
)
def test_data(lines: str, data: str) -> None:
    found = tensor(f".tensor x, {lines}").data
    assert found is not None
    assert found.hex() == data


def test_meta() -> None:
    program = assemble(
        '.meta kernel matmul # the name\n.meta shape {"m": [1, 2]}\n.meta "a key" "x # y"\n'
        ".meta m 3\n.meta flag true\n"
    )
    assert program.meta == {
        "kernel": "matmul", "shape": {"m": [1, 2]}, "a key": "x # y", "m": 3, "flag": True,
    }  # fmt: skip


# ---- chips -------------------------------------------------------------------------------------


def test_a_given_chip_overrides_the_line() -> None:
    program = assemble(".chip lpu-tiny\n.queue mem.w40.read\n", chip_info=load("lpu-tsp1"))
    assert program.chip == "lpu-tsp1"


def test_without_a_chip_nothing_is_checked_against_one() -> None:
    program = assemble(".queue mem.w99.read\n read s0.e, 5\n add.fp32 _, s0.e, s4.e\n")
    assert len(program.sections[0]) == 2


def test_empty_texts() -> None:
    assert assemble("") == Program("lpu", "", (), files=("<text>",))
    assert assemble(".queue vxm.0").sections[0].name == "vxm.0"


def test_raw_words() -> None:
    program = assemble(".queue vxm.0\n.insn 0xff\n.insn 1 << 127\n")
    assert list(program.sections[0]) == [0xFF, 1 << 127]


# ---- speed -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_lines_per_second() -> None:
    """Far below what an idle machine does, so that a busy one passes."""
    lines = [f" read s{i % 32}.e, {i % 2048}" for i in range(200_000)]
    text = ".queue mem.w0.read\n" + "\n".join(lines)
    start = time.perf_counter()
    assemble(text)
    assert len(lines) / (time.perf_counter() - start) > 50_000
