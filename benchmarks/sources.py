"""Assembly sources for `assembler.py`: what people write and what programs print."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from isa.disasm import disassemble
from tools.jobs import Request, open_job


@dataclass(frozen=True)
class Source:
    """A kind of source. `text(lines)` makes about so many lines; a kernel's length is its own.

    With `whole`, what else is done with such a program is timed too. With `expands`, lines are
    read once for every use of the macro or repetition that they are in, and so they count.
    """

    name: str
    text: Callable[[int], str]
    whole: bool = False
    expands: bool = False


def _text(head: str, lines: Iterable[str]) -> str:
    return head + "\n".join(lines) + "\n"


LPU_READ = ".chip lpu-lp30\n.queue mem.w0.read\n"
LPU_VXM = ".chip lpu-lp30\n.queue vxm.0\n"
CUBE = ".chip npu-950pr\n.core cube\n"


def _lpu_same(n: int) -> str:
    """A few lines again and again."""
    return _text(LPU_READ, (f"    read s{i % 32}.e, {i % 64}" for i in range(n)))


def _lpu_distinct(n: int) -> str:
    """Every line with an address of its own."""
    return _text(LPU_READ, (f"    read s{(i + i // 8000) % 32}.e, {i % 8000}" for i in range(n)))


def _lpu_labels(n: int) -> str:
    """Labels, cycles and expected producers, as a schedule prints them."""
    kinds = (
        lambda i: f"p{i}: @{9 * i} add.fp32 s{i % 8 * 4}.e, s0.w@p{i - 4 if i > 3 else 0}, {i}.5",
        lambda i: f"    @{9 * i} mul.fp32 s{i % 8 * 4}.e, a1, s8.w@p{i - 1}   # scaled",
        lambda i: f"    @{9 * i} max.fp32 s4.w, s8.w@p{i - 2}|p{max(0, i - 6)}, s{i % 8 * 4}.e",
        lambda i: f"    repeat {i % 7 + 1}, 1",
    )
    return _text(LPU_VXM, (kinds[i % 4](i) for i in range(n)))


def _lpu_expressions(n: int) -> str:
    """Symbols and expressions in every operand."""
    head = LPU_READ + ".equ BASE, 0x100\n.equ STEP, 4\n.equ ROW, BASE + 16 * STEP\n"
    kinds = (
        lambda i: f"    read s[{i % 16} + 1].e, BASE + STEP*{i % 9000}",
        lambda i: f"    read s3.w, (ROW - {i % 100}) * 2 + {i % 5000}",
        lambda i: f"    gather s{i % 32}.e, s2.e, base=BASE + {i}",
        lambda i: f"A{i} = BASE + {i} * STEP",
    )
    return _text(head, (kinds[i % 4](i) for i in range(n)))


def _lpu_blocks(n: int) -> str:
    """A macro, used once every four lines, and repetitions with their number in them."""
    head = LPU_READ + (
        ".equ BASE, 0x100\n.macro load stream, at\nread s\\stream\\().e, BASE + \\at\n"
        "repeat 3, 1, 2\n.endm\n"
    )
    body = [f".rept {n // 2}", "    read s3.e, 4 * \\+ + BASE", "    nop \\+ + 1", ".endr"]
    return _text(head, (*body, *(f"    load {i % 32}, {2 * i}" for i in range(n // 6))))


def _npu_scalar(n: int) -> str:
    """A core's program: arithmetic, branches both ways, flags, transfers; a label every 4 lines."""
    head = CUBE + ".equ PITCH, 4096\n.equ TILE, 128*128\n"
    kinds = (
        lambda i: f"step{i}: add x{i % 28 + 1}, x{i % 7}, {i}",
        lambda i: f"    mov x{i % 28 + 1}, PITCH + {i}*TILE    // the next tile",
        lambda i: f"    br.lt x{i % 28 + 1}, {i}, step{i + 2 if i + 2 < n else 0}",
        lambda i: f"    load.l1.b8 x{i % 9}, x{i % 13}, x3, rows=x{i % 7}, src_pitch=x4",
    )
    return _text(head, (kinds[i % 4](i) for i in range(n)))


def _npu_plain(n: int) -> str:
    """Scalar code as a compiler prints it, every immediate another."""
    kinds = (
        lambda i: f"    add x{i % 28 + 1}, x{i % 7}, {i}",
        lambda i: f"    mul x{i % 28 + 1}, x3, {i}",
        lambda i: f"    mov x{i % 28 + 1}, {i * 3}",
        lambda i: f"    shl x{i % 28 + 1}, x{i % 5}, {i % 60}",
    )
    return _text(CUBE, (kinds[i % 4](i) for i in range(n)))


def _npu_simd(n: int) -> str:
    """Vector code, unrolled: registers and offsets change from line to line."""
    kinds = (
        lambda i: f"    vld.b32.norm v{i % 32}, x1, {256 * (i % 200)}, post=256",
        lambda i: f"    vadd.fp32 v{i % 31}, v{i % 30}, v{i % 29}, mask=p{i % 7}",
        lambda i: f"    vmul.fp32 v{i % 31}, v{i % 30}, {i}.25",
        lambda i: f"    vst.b32.norm v{i % 32}, x2, {256 * (i % 200)}, post=64",
    )
    return _text(
        ".chip npu-950pr\n.core vector\n end\n.simd f\n", (kinds[i % 4](i) for i in range(n))
    )


def _npu_simt(n: int) -> str:
    """Thread code, unrolled, guarded, with a loop label every four lines."""
    kinds = (
        lambda i: f"next{i}: tadd.int32 r{i % 120}, r{i % 100}, {i}",
        lambda i: f"    tld.gm.b32 r{i % 120}, u0, r{i % 90}, {i % 1000}",
        lambda i: f"    tfma.fp32 r{i % 120}, r{i % 90}, {i}.5, r{i % 7}, when=!q{i % 7}",
        lambda i: f"    tbra next{i - 3}, when=q{i % 7}",
    )
    return _text(
        ".chip npu-950pr\n.core vector\n end\n.simt f\n", (kinds[i % 4](i) for i in range(n))
    )


def _data(n: int) -> str:
    """A table of constants."""
    head = f".chip npu-950pr\n.tensor t, fp32, [{8 * n}], const, at=0\n"
    lines = [
        "    .word " + ", ".join(f"{(8 * i + j) * 2654435761 % 2**32:#010x}" for j in range(8))
        for i in range(n)
    ]
    return _text(head, [*lines, ".core cube", "    end"])


def _kernel(name: str, chip: str, dtype: str | None, **sizes: int) -> Callable[[int], str]:
    """What the disassembler prints of a kernel."""

    def text(n: int) -> str:
        request = Request(target=name, chip=chip, dtype=dtype, settings=sizes, mode="timing")
        return disassemble(open_job(request).program())

    return text


SOURCES = (
    Source("LPU repeated", _lpu_same),
    Source("LPU distinct", _lpu_distinct, whole=True),
    Source("LPU labels, expectations", _lpu_labels, whole=True),
    Source("LPU expressions", _lpu_expressions),
    Source("LPU macros, repetitions", _lpu_blocks, expands=True),
    Source("NPU scalar", _npu_plain, whole=True),
    Source("NPU labels, expressions", _npu_scalar, whole=True),
    Source("NPU SIMD", _npu_simd, whole=True),
    Source("NPU SIMT", _npu_simt, whole=True),
    Source("tables of data", _data),
    Source(
        "LPU matmul 1x4096x4096", _kernel("matmul", "lpu-lp30", "e4m3", m=1, n=4096, k=4096), True
    ),
    Source("LPU attention", _kernel("attention", "lpu-lp30", None), True),
    Source("NPU matmul", _kernel("matmul", "npu-950pr", "mxfp8", m=1024, n=1024, k=1024), True),
    Source("NPU attention", _kernel("attention", "npu-950pr", None), True),
)
