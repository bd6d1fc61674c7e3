"""What the assembler says about mistakes: all of them, in one form, and never a traceback."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emulator.lpu.chip import load
from isa.asm import AssemblyError, assemble
from isa.asm.directives import DIRECTIVES
from isa.diagnostics import CODES, Diagnostic
from isa.lpu import LPU

HERE = Path(__file__).resolve().parent
SOURCES = sorted((HERE.parents[1] / "programs" / "lpu").glob("*.s"))


def complaints(text: str, **options) -> list[Diagnostic]:
    """What is wrong with a text; nothing if it assembles."""
    options.setdefault("load_chip", load)
    try:
        assemble(text, "t.s", **options)
    except AssemblyError as error:
        return list(error.diagnostics)
    return []


def messages(text: str, **options) -> list[str]:
    return [d.message for d in complaints(text, **options)]


def test_mistakes_are_reported_as_they_always_were() -> None:
    """`mistakes.s` is wrong in every line that can be; `mistakes.txt` is what is said about it."""
    with pytest.raises(AssemblyError) as caught:
        assemble((HERE / "mistakes.s").read_text(), "mistakes.s", load_chip=load)
    assert str(caught.value) + "\n" == (HERE / "mistakes.txt").read_text()


def test_every_diagnostic_has_a_listed_code() -> None:
    for diagnostic in complaints((HERE / "mistakes.s").read_text()):
        assert diagnostic.code in CODES
        assert diagnostic.severity == "error"


def test_the_form() -> None:
    (found,) = complaints(".queue mem.w0.read\n\tread s0.e, 1, 2 # x\n")
    assert str(found) == (
        "t.s:2:16: error: too many operands; the form is 'read dst, addr' [A011]\n"
        "2 | \tread s0.e, 1, 2 # x\n"
        "  | \t              ^"
    )


def test_expansions_name_their_place(tmp_path: Path) -> None:
    (tmp_path / "a.inc").write_text(".macro m x\n read s\\x\\().e, 1\n.endm\n m 50\n")
    with pytest.raises(AssemblyError) as caught:
        assemble('.queue vxm.0\n.include "a.inc"\n', str(tmp_path / "t.s"))
    include = tmp_path / "a.inc"
    assert str(caught.value) == (
        f"{include}:2:7: error: no stream register s50; they are s0 to s31 [A012]\n"
        "2 |  read s50.e, 1\n"
        "  |       ^^^^^\n"
        f"{include}:4: note: in macro 'm', used here\n"
        f"{tmp_path / 't.s'}:2: note: included here\n"
        "1 error"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("read s0.e, 1", "an instruction outside every queue"),
        ("label:", "the label 'label' is in no queue"),
        (".insn 5", "a word outside every queue"),
        (".chip npu-9000", "no chip 'npu-9000'"),
        (".queue vxm.0\n.chip lpu-tiny", ".chip comes before the first queue"),
        (".chip lpu-tiny\n.chip lpu-tsp1", "the chip is lpu-tiny already"),
        (".queue", ".queue takes a name"),
        (".queue a b", "a queue is a name, not 'a b'"),
        (".queue vxm.0\n.insn 1 << 127 | 1 << 127 << 1", "more than 128 bits"),
        (".macro add\n.endm", "'add' is an instruction"),
        (".macro m\n.endm\n.macro m\n.endm", "macro 'm' is defined twice"),
        (".macro m a, a\n.endm", "the argument a is there twice"),
        (".macro m a\n.endm\nm a=1, a=2", "a is given twice"),
        (".macro m a\nm \\a\n.endm\nm 1", "the expansion is nested too deep"),
        (".rept 1 << 31\n.rept 1 << 31\nx=1\n.endr\n.endr", "the expansion is too long"),
        (".rept 3\nnop 1", "this '.rept' has no '.endr'"),
        (".macro m\nnop 1", "this '.macro' has no '.endm'"),
        (".if 0\n.else\n.else\n.endif", "'.else' after '.else'"),
        (".endm", "'.endm' without its beginning"),
        (".include nothing", "expected a string in quotes, not nothing"),
        (".equ inf, 4", "'inf' already means something else"),
        (".queue vxm.0\na:\na = 4", "'a' is a label already, at line 2"),
        ("a = 4\n.queue vxm.0\na:", "'a' is a symbol already"),
        (".queue vxm.0\n@5 .byte 3", "only an instruction can be placed"),
        (".queue vxm.0\n@1 << 40 nop 1", "is too far away"),
        (".queue vxm.0\nadd.fp32 _, a0, s0.e\n@1 repeat 1, 1", "a repeat takes no cycle"),
        (".queue vxm.0\nsync\nrepeat 1, 1", "there is nothing to repeat here"),
        (".queue vxm.0\nadd.fp32 _, a0, s0.e@x y", "an expectation names a label, not 'x y'"),
        (".queue vxm.0\nadd.fp32 _, a0, s0.e@", "an expectation names a label, not ''"),
        (".queue vxm.0\nadd.fp32 _, a0, s0.e@(x", "this '(' is not closed"),
        (".queue vxm.0\nadd.fp32 _, a0, s0.e@x", "the label 'x' is not defined"),
        (".tensor x, int8, [4], in", "the tensor 'x' lies nowhere"),
        (".tensor x, int8, 4, in, at=w0:0", "a shape is a list such as [2, 32], not '4'"),
        (".tensor x, int8, [4], in, at=w0:0", "'at=' needs the chip's number of lanes"),
        (".tensor x, int8, [4], in, slices=[w0]", "lane= is missing"),
        (".tensor x, int8, [4], in, slices=[w0], lane=1", "an axis is an integer, 0 to 0, not 1"),
        (".tensor x, int8, [4], in, data=[1]", "only a const has data"),
        (".tensor x, int8, [2], const, slices=[w0], lane=0, data=[1]", "takes 2 bytes of data"),
        (".tensor x, e4m3, [1], const, slices=[w0], lane=0, data=[1.0]", "written as codes"),
        (".tensor x, int8, [1 << 39], const, slices=[w0], lane=0, fill=1", "has more than"),
        (".chip lpu-tiny\n.tensor x, int8, [40], in, slices=[w0], lane=0", "takes 40 lanes"),
        (".place x, lane=none", "no tensor 'x'"),
        (".byte 1", "'.byte' needs a const tensor to fill"),
        (".meta", "write it as '.meta KEY VALUE'"),
        ("nop latency(mem.read)", "an instruction outside"),
        ("x = latency(mem.read)", "needs the facts of a chip"),
        (".chip lpu-tiny\nx = latency(mem.raed)", "no instruction has the timing key 'mem.raed'"),
        (".chip lpu-tiny\nx = hops(mem.w0)", "hops takes other names"),
        (".chip lpu-tiny\nx = chip(clock)", "the chip has no number 'clock'"),
        (".chip lpu-tiny\nx = column(gpu)", "the chip has no unit 'gpu'"),
    ],
)
def test_mistakes_one_by_one(text: str, message: str) -> None:
    found = messages(text, max_lines=10_000)
    assert any(message in one for one in found), found


def test_one_mistake_is_one_complaint() -> None:
    """No error of one line makes others, right in themselves, look wrong."""
    text = """\
    .chip lpu-tiny
    .tensor c, int8, [4], const, at=w0:0
    .byte 1, 2, 300, 4
    .queue mem.w0.rea
    x: read s0.e, 0
    .queue mem.w0.write
    write 0, s0.e@x
    y: wriet 0, s0.e
    repeat 3, 1
    @10 write 0, s0.e@y
    """
    assert [d.line for d in complaints(text)] == [3, 4, 8]


def test_unreadable_include(tmp_path: Path) -> None:
    (tmp_path / "a.inc").write_bytes(b"\xff\xfe")
    (tmp_path / "d.inc").mkdir()
    text = '.include "a.inc"\n.include "d.inc"\n'
    found = messages(text, include_path=[tmp_path])
    assert "it is not UTF-8 text" in found[0]
    assert found[1] == "cannot find 'd.inc'"


def test_files_that_include_themselves(tmp_path: Path) -> None:
    path = tmp_path / "a.inc"
    path.write_text('.include "a.inc"\n')
    (found,) = messages('.include "a.inc"', include_path=[tmp_path])
    assert "nested too deep" in found


def test_there_is_an_end_to_complaints() -> None:
    found = complaints(".queue vxm.0\n" + "foo\n" * 5000)
    assert len(found) == 200


# ---- fuzz --------------------------------------------------------------------------------------

WORDS = [
    *LPU.spellings, *(f".{name}" for name in DIRECTIVES), "s0.e", "s40.w", "a3", "_", "1", "0x10",
    "1.5", "-", "+", "/", "(", ")", "[", "]", ",", "@", ":", "=", '"', "\\", "\\x", "#", "//", "x",
    "w0:0", "at=", "lane=", "fp32", "int8", "in", "const", "mem.w0.read", "vxm.0", ".fp32", "|",
    "<<", "\n", "\n", "\n", "\t", "*", "...", "\r", "\0", "é", ".", "99999999999999999999",
]  # fmt: skip


def assert_sane(text: str) -> None:
    """Assembles, or is refused with diagnostics that can be printed and point into the text."""
    try:
        assemble(text, "fuzz.s", load_chip=load, max_lines=3000)
        return
    except AssemblyError as error:
        diagnostics = error.diagnostics
    assert diagnostics
    for diagnostic in diagnostics:
        assert diagnostic.code in CODES
        assert diagnostic.line >= 1
        assert diagnostic.col >= 1
        assert str(diagnostic)


@settings(deadline=None, max_examples=400)
@given(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join))
@example(".rept 4294967296\n x = 1 \n.endr")
@example(".macro m\n.rept 9999\n m\n.endr\n.endm\n m")
@example(".tensor x, int8, [99999999999], const, slices=[w0], lane=0, fill=1")
@example(".fill 99999999999")
@example('.queue v\n add.fp32 _, 1, s0.e@"\\ud800"')
def test_random_words(text: str) -> None:
    assert_sane(text)


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=60), st.text(max_size=60))
def test_random_text(first: str, second: str) -> None:
    assert_sane(first)
    assert_sane(f".queue vxm.0\n{first}\nadd.fp32 {second}\n.tensor x, {second}\n")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1 << 32))
def test_mutated_programs(path: Path, seed: int) -> None:
    rng = random.Random(seed)
    text = path.read_text().replace('.include "fp32.inc"', path.with_name("fp32.inc").read_text())
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(text))
        end = min(len(text), at + rng.choice([0, 1, 1, 3, 20]))
        new = rng.choice(["", rng.choice(WORDS), text[end : end + rng.randint(0, 30)]])
        text = text[:at] + new + text[end:]
    assert_sane(text)
