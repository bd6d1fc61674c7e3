"""Program files on the command line: assembling, showing, and the arrays that go in and out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isa.elf import read_elf
from isa.program import Tensor
from tools.files import atomic
from tools.problem import Problem
from tools.tensors import as_numbers, code_type, decode, default_values, to_codes

COPY = """\
.chip lpu-tiny
.ifndef word
.equ word, 16
.endif
.queue mem.w0.read
    read s0.e, word
.queue mem.e0.write
    nop 10
    write 5, s0.e
"""
WRONG = """\
.chip lpu-tiny
.queue mem.w0.read
    raed s0.e, 16
    read s40.e, 16
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    path = tmp_path / "copy.s"
    path.write_text(COPY)
    return path


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    path = tmp_path / "wrong.s"
    path.write_text(WRONG)
    return path


def test_asm_is_silent_and_writes_an_object(call, copy: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy.o"
    outcome = call("asm", copy, "-o", out)
    assert (outcome.exit_code, outcome.output) == (0, "")
    program = read_elf(out.read_bytes())
    assert [section.name for section in program.sections] == ["mem.w0.read", "mem.e0.write"]


def test_asm_without_output_only_checks(call, copy: Path) -> None:
    outcome = call("asm", copy)
    assert (outcome.exit_code, outcome.output) == (0, "")
    assert list(copy.parent.iterdir()) == [copy]


def test_asm_lists(call, copy: Path) -> None:
    text = call("asm", copy, "-l").stdout
    assert "read s0.e, 16" in text
    assert "copy.s:6" in text


def test_asm_reports_every_error_with_a_caret(call, wrong: Path, tmp_path: Path) -> None:
    out = tmp_path / "wrong.o"
    outcome = call("asm", wrong, "-o", out)
    assert outcome.exit_code == 1
    assert outcome.stdout == ""
    for part in ("wrong.s:3:5: error:", "wrong.s:4:", "did you mean 'read'?", "s0 to s31", "^^^^",
                 "2 errors"):  # fmt: skip
        assert part in outcome.stderr
    assert not out.exists()


def test_symbols_of_a_file_are_its_parameters(call, copy: Path) -> None:
    assert "read s0.e, 33" in call("asm", copy, "-l", "--set", "word=33").stdout
    outcome = call("asm", copy, "--set", "wird=33")
    assert outcome.exit_code == 2
    assert "did you mean 'word'?" in outcome.stderr
    assert call("asm", copy, "--set", "word=wide").exit_code == 2


def test_disasm_of_text_and_object_agree(call, copy: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy.o"
    call("asm", copy, "-o", out)
    texts = {call("disasm", path).stdout for path in (copy, out)}
    assert len(texts) == 1
    again = tmp_path / "again.s"
    again.write_text(texts.pop())
    assert call("asm", again, "-o", tmp_path / "again.o").exit_code == 0
    first, second = (read_elf((tmp_path / f"{n}.o").read_bytes()) for n in ("copy", "again"))
    assert [s.words for s in first.sections] == [s.words for s in second.sections]


def test_disasm_lists(call, copy: Path) -> None:
    assert "@10" in call("disasm", copy, "-l").stdout


@pytest.mark.parametrize("content", [b"\x7fELF", b"\x7fELF" + bytes(60), b"\x7fELF\x02\x01" * 40])
def test_damaged_objects_are_errors(call, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.o"
    path.write_bytes(content)
    for verb in ("disasm", "asm", "run", "cycles"):
        outcome = call(verb, path)
        assert outcome.exit_code == 1
        assert outcome.stderr.startswith(f"{path}: error: ")


def test_files_that_are_no_programs(call, tmp_path: Path) -> None:
    path = tmp_path / "noise.s"
    path.write_bytes(b"ok\n\xff\xfe")
    outcome = call("asm", path)
    assert outcome.exit_code == 1
    assert "noise.s:2: error: byte 0xff is not UTF-8 text" in outcome.stderr
    assert call("asm", tmp_path / "none.s").exit_code == 2
    assert call("asm", tmp_path).exit_code == 2


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--dtype", "int8"], "have their formats in the file"),
        (["--check"], "no reference to check against"),
        (["--set", "rows=1"], "has no parameter 'rows'"),
        (["--in", "x=x.npy"], "has no input 'x'"),
        (["--out", "y=y.npy"], "has no output 'y'"),
    ],
)
def test_what_a_file_does_not_take(
    call, copy: Path, words: list[str], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copy.parent)
    np.save("x.npy", np.zeros(3, np.float32))
    outcome = call("run", copy, *words)
    assert outcome.exit_code == 2
    assert part in outcome.stderr


# ---- arrays ------------------------------------------------------------------------------------


def tensor(dtype: str, *shape: int) -> Tensor:
    return Tensor("x", dtype, shape, "in", ())


def test_floats_are_quantised_as_in_naive() -> None:
    x = np.array([0.06, -3.0, 1e9], np.float32)
    codes, scale = to_codes(tensor("e4m3", 3), x)
    assert scale is None
    assert decode("e4m3", codes).tolist() == [0.05859375, -3.0, 448.0]
    codes, scale = to_codes(tensor("int8", 2), np.array([-2.54, 1.27], np.float32))
    assert scale == pytest.approx(0.02)
    assert codes.tolist() == [-127, 64]


def test_codes_pass_unchanged() -> None:
    for dtype in ("int8", "e4m3", "bf16", "fp32", "int32", "uint8", "mxfp4"):
        codes = np.arange(4).astype(code_type(dtype))
        found, scale = to_codes(tensor(dtype, 4), codes)
        assert found is codes
        assert scale is None


def test_foreign_dtypes_pass_as_codes() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    codes, _ = to_codes(tensor("bf16", 2), x)
    assert codes.dtype == np.uint16
    assert decode("bf16", codes).tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    ("dtype", "array", "part"),
    [
        ("e4m3", np.zeros(2, np.float32), "the tensor is [3], the array [2]"),
        ("e4m3", np.zeros(3, np.int64), "neither float nor e4m3's code type"),
        ("int32", np.array([0.5, 1, 2]), "holds int32"),
        ("uint8", np.array([0, 1, 256]), "from 0 to 255"),
    ],
)
def test_arrays_that_do_not_fit(dtype: str, array: np.ndarray, part: str) -> None:
    with pytest.raises(Problem) as caught:
        to_codes(tensor(dtype, 3), array)
    assert part in str(caught.value)


def test_whole_numbers_may_come_in_any_type() -> None:
    codes, _ = to_codes(tensor("int32", 3), np.array([1.0, -2.0, 3.0]))
    assert (codes.dtype, codes.tolist()) == (np.int32, [1, -2, 3])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int4", "int32", "e8m0", "bf16", "mxfp8"])
def test_default_data_is_seeded_and_in_range(dtype: str) -> None:
    one, same, other = (default_values(tensor(dtype, 50), s, 0) for s in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()
    codes, _ = to_codes(tensor(dtype, 50), one)
    assert codes.dtype == code_type(dtype)
    if dtype == "int4":
        assert -8 <= codes.min() <= codes.max() <= 7


def test_codes_of_a_kernel_become_numbers_for_the_reference() -> None:
    from emulator.numerics import quantize_blocks

    rng = np.random.default_rng(0)
    b = rng.standard_normal((70, 3)).astype(np.float32)
    blocks = quantize_blocks(b, "mxfp8", 0)
    numbers = as_numbers("mxfp8", {"b": blocks.codes, "b.scale": blocks.scales})
    assert list(numbers) == ["b"]
    assert (numbers["b"] == blocks.values()).all()
    assert as_numbers("int8", {"a": np.ones(2, np.int8)})["a"].dtype == np.int8


# ---- files -------------------------------------------------------------------------------------


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")

    def interrupted() -> None:
        with atomic(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    with atomic(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640


def test_devices_are_written_to() -> None:
    with atomic("/dev/null") as file:
        file.write(b"gone")
    assert Path("/dev/null").is_char_device()
