"""Assert that a wheel holds compiled cores and data, and that an sdist holds their sources."""

import sys
import tarfile
import zipfile
from pathlib import Path


def main(sdist: str, wheel: str) -> None:
    tree = Path(__file__).resolve().parent.parent
    sources = {
        p.relative_to(tree).as_posix()
        for house in ("isa", "emulator", "programs")
        for p in tree.glob(f"{house}/**/*.pyx")
    }
    data = {
        p.relative_to(tree).as_posix()
        for kind in ("emulator/chips/*.toml", "programs/**/*.npz", "programs/**/*.s", "**/*.pyi")
        for p in tree.glob(kind)
        if p.relative_to(tree).parts[0] in ("isa", "emulator", "programs", "tools")
    }
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "none-any" not in Path(wheel).name, f"{wheel} claims to have no compiled modules"
    compiled = {name.split(".")[0] for name in names if name.endswith((".so", ".pyd"))}
    missing = {source.removesuffix(".pyx") for source in sources} - compiled
    assert sources, "the tree has no compiled modules"
    assert not missing, f"the wheel lacks compiled modules: {sorted(missing)}"
    assert data <= names, f"the wheel lacks data: {sorted(data - names)}"
    assert not any(n.startswith(("tests/", "benchmarks/")) for n in names), "tests are in the wheel"

    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    lost = (sources | data) - packed
    assert not lost, f"the sdist lacks: {sorted(lost)}"
    print(f"{Path(wheel).name}: {len(compiled)} compiled modules, {len(names)} files")


if __name__ == "__main__":
    main(*sys.argv[1:])
