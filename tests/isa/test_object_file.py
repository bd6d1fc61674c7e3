"""Object files: what is written is read back, and nothing else is."""

import dataclasses
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.lpu.chip import load
from isa.asm import assemble
from isa.elf import MACHINE, NOTES, ObjectFileError, is_elf, read_elf, write_elf
from isa.program import Program, Section
from tests.isa.isa_strategies import programs

TEXT = """\
.chip lpu-tiny
.meta kernel "copy"
.meta shape {"rows": 4}
.tensor x, fp32, [4, 32], in, at=w0:0
.tensor one, fp32, [32], const, at=e0:0, fill=1.0
.tensor y, fp32, [4, 32], out, at=w0:0x400
.queue mem.w0.read
load: @3 read s0.e, 0
repeat 3, 1, 1
.queue mem.e0.write
store: @15 write 8, s0.e@load
end:
"""


@pytest.fixture(scope="module")
def program() -> Program:
    return assemble(TEXT, "copy.s", load_chip=load)


@pytest.fixture(scope="module")
def image(program: Program) -> bytes:
    return write_elf(program)


def test_round_trip(program: Program, image: bytes) -> None:
    assert is_elf(image)
    assert read_elf(image) == program
    assert write_elf(read_elf(image)) == image


@settings(deadline=None, max_examples=80)
@given(programs())
def test_any_program_goes_in_and_out(program: Program) -> None:
    assert read_elf(write_elf(program)) == program


def test_damage_is_noticed_wherever_it_is(image: bytes) -> None:
    """Every single byte: either it does not matter, or the file is refused."""
    whole = read_elf(image)
    unnoticed = 0
    for i in range(len(image)):
        bad = bytearray(image)
        bad[i] ^= 0x41
        try:
            assert read_elf(bytes(bad)) == whole
            unnoticed += 1
        except ObjectFileError as error:
            assert str(error)  # noqa: PT017
    # Alignment gaps, addresses, sizes of entries and the like are nobody's data.
    assert unnoticed < len(image) // 3


def test_a_cut_file_is_noticed(image: bytes) -> None:
    for size in range(0, len(image), 7):
        with pytest.raises(ObjectFileError):
            read_elf(image[:size])


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6
    ),
    st.floats(0, 1),
)
def test_fuzzed_files(image: bytes, edits: list[tuple[float, int]], keep: float) -> None:
    bad = bytearray(image)
    for place, value in edits:
        bad[int(place * len(bad))] = value
    bad = bad[: int(keep * 1.2 * len(bad))]
    try:
        read_elf(bytes(bad))
    except ObjectFileError:
        return


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ObjectFileError, match=r"object file|damaged"):
        read_elf(data)
    with pytest.raises(ObjectFileError):
        read_elf(b"\x7fELF\x02\x01\x01" + data)


def test_foreign_files_are_named(image: bytes) -> None:
    with pytest.raises(ObjectFileError, match="does not begin as ELF does"):
        read_elf(b"hello, world\n" * 20)
    other = bytearray(image)
    struct.pack_into("<H", other, 18, 62)
    with pytest.raises(ObjectFileError, match=r"machine 0x003e, not for Presil"):
        read_elf(bytes(other))
    other = bytearray(image)
    other[4] = 1
    with pytest.raises(ObjectFileError, match="not 64-bit little-endian"):
        read_elf(bytes(other))


def test_programs_that_fit_in_no_file(program: Program) -> None:
    with pytest.raises(ObjectFileError, match="zero byte"):
        write_elf(dataclasses.replace(program, symbols={"a\0b": ("mem.w0.read", 0)}))
    with pytest.raises(ObjectFileError, match="names a word that is not there"):
        write_elf(dataclasses.replace(program, symbols={"a": ("mem.w0.read", 99)}))
    with pytest.raises(ObjectFileError, match="same name"):
        write_elf(Program("lpu", "", (Section("a", b""), Section("a", b""))))
    with pytest.raises(ObjectFileError, match="no JSON"):
        write_elf(dataclasses.replace(program, meta={"x": {1, 2}}))
    with pytest.raises(ObjectFileError, match="machine class 'abacus'"):
        write_elf(dataclasses.replace(program, isa="abacus"))


# ---- what other people's tools say ---------------------------------------------------------------


def tool(name: str, *arguments: str) -> str:
    """The tool's output; anything it complains about fails the test."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed (package binutils)")
    done = subprocess.run([name, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert "Warning" not in done.stdout
    assert "Error" not in done.stdout
    return done.stdout


@pytest.fixture
def object_path(image: bytes, tmp_path: Path) -> str:
    path = tmp_path / "copy.o"
    path.write_bytes(image)
    return str(path)


def test_readelf(object_path: str) -> None:
    text = tool("readelf", "-a", "-W", object_path)
    assert f"{MACHINE:#x}" in text
    assert "REL (Relocatable file)" in text
    for name in ("mem.w0.read", "mem.e0.write", *(f".note.presil.{note}" for note in NOTES)):
        assert name in text
    assert "Presil" in text


def test_nm(object_path: str) -> None:
    lines = tool("nm", object_path).splitlines()
    assert "0000000000000010 T load" in lines
    assert "0000000000000010 T store" in lines
    assert "0000000000000000 r one" in lines


def test_objdump(object_path: str) -> None:
    text = tool("objdump", "-h", object_path)
    assert "elf64-little" in text
    assert "mem.w0.read" in text
