"""The number formats as a mapping that shows itself as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from emulator.numerics import BLOCK_FORMATS, FORMATS, BlockFormat, Format

HEAD = ("bits", "largest", "smallest", "epsilon", "Inf", "NaN", "codes")


def limits(row: Format) -> list[str]:
    """What a table says of an element format; every figure is derived from its row."""
    nan = "-" if row.nan == "none" else row.nan
    return [str(row.bits), f"{row.max_finite:.6g}", f"{row.min_subnormal:.6g}",
            f"{row.epsilon:.6g}", "yes" if row.has_inf else "-", nan, row.storage]  # fmt: skip


def blocks(row: BlockFormat) -> list[str]:
    """The same of a block format: elements, how many in a block, the scale."""
    extra = " and one fp32 per tensor" if row.tensor_scale else ""
    return [row.element, str(row.block), f"{row.scale}{extra}"]


class Formats(Mapping[str, Format | BlockFormat]):
    """Name -> element format (`max_finite`, `min_normal`, `min_subnormal`, `epsilon`, ...) or block
    format (`element`, `block`, `scale`, ...).
    """

    def __init__(self) -> None:
        self._rows: dict[str, Format | BlockFormat] = {
            **{row.name: row for row in FORMATS}, **BLOCK_FORMATS,
        }  # fmt: skip

    def __getitem__(self, name: str) -> Format | BlockFormat:
        if name not in self._rows:
            from tools.problem import suggestion

            raise KeyError(f"no format '{name}'; {suggestion(name, self._rows, 'formats')}")
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        from tools.page import indent, plain, sections, table

        rows = [[row.name, *limits(row)] for row in FORMATS]
        more = [[row.name, *blocks(row)] for row in BLOCK_FORMATS.values()]
        return plain(
            sections(
                [table(["Formats", *HEAD], indent(rows), left=(0, 5, 6, 7))],
                [table(["Blocks", "elements", "block", "scale"], indent(more), left=(0, 1, 3))],
            )
        )

    def _repr_html_(self) -> str:
        from tools.html import table_html

        return table_html("", ["", *HEAD], [[row.name, *limits(row)] for row in FORMATS])
