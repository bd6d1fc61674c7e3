"""Build the compiled cores. Everything else about the distribution is in pyproject.toml."""

import os
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from isa.dispatch import write_includes  # noqa: E402  (isa imports nothing but the standard library)

HOUSES = ("isa", "emulator", "programs")  # where there are compiled modules
DEBUG = os.environ.get("PRESIL_DEBUG", "0") not in ("", "0")
DIRECTIVES = {
    "language_level": 3,
    "cdivision": True,
    "wraparound": False,
    "boundscheck": DEBUG,
    "initializedcheck": DEBUG,
    "nonecheck": DEBUG,
}
# Bits must not depend on the compiler's taste: no contraction to fma, no value-changing reordering.
COMPILE_ARGS = ["-O1", "-g"] if DEBUG else ["-O3"]
COMPILE_ARGS += ["-ffp-contract=off", "-fno-fast-math", "-fno-strict-aliasing"]


class BuildExt(build_ext):
    """build_ext that names a missing compiler or header instead of printing a page of distutils."""

    def run(self) -> None:
        header = Path(sysconfig.get_paths()["include"]) / "Python.h"
        if not header.exists():
            raise SystemExit(
                f"presil: error: the Python headers are missing ({header} does not exist)\n"
                "help: install them, e.g. 'apt install python3-dev' or 'dnf install python3-devel'"
            )
        super().run()

    def build_extensions(self) -> None:
        try:
            super().build_extensions()
        except Exception as error:
            compiler = getattr(self.compiler, "compiler", ["cc"])[0]
            if ("command" in str(error) and "failed" in str(error)) or "No such file" in str(error):
                raise SystemExit(
                    f"presil: error: the C compiler could not build the compiled cores: {error}\n"
                    f"help: is '{compiler}' there and working? e.g. 'apt install gcc python3-dev'"
                ) from error
            raise


def extensions() -> list[Extension]:
    """Every .pyx of the house is one module; its import path is its file path."""
    found = []
    sources = [path for house in HOUSES for path in sorted((ROOT / house).rglob("*.pyx"))]
    for path in sources:
        relative = path.relative_to(ROOT)
        # What a change of which file makes stale: its own includes, and what modules share.
        house = ROOT / relative.parts[0]
        depends = [*path.parent.glob("*.px[di]"), *house.rglob("*.pxd")]
        extension = Extension(
            ".".join(relative.with_suffix("").parts),
            [str(relative)],
            depends=sorted({str(p.relative_to(ROOT)) for p in depends}),
            extra_compile_args=COMPILE_ARGS,
        )
        extension.cython_directives = DIRECTIVES
        found.append(extension)
    return found


write_includes(ROOT)
setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt})
