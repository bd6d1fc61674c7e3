"""Numbers as people read them: separators, units by magnitude, at most four significant digits."""

from __future__ import annotations

import math
from collections.abc import Sequence

_DECIMAL = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SMALL = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def count(number: int) -> str:
    """
    >>> count(1904)
    '1,904'
    """
    return f"{number:,}"


def figures(value: float, digits: int = 4) -> str:
    """A number with so many significant digits, never in exponent form unless tiny or huge.

    >>> figures(1.904), figures(0.00024), figures(33170.4)
    ('1.904', '0.00024', '33,170')
    """
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e9:
        return f"{value:.{digits - 1}e}"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    text = f"{value:,.{max(0, decimals)}f}"
    return text.rstrip("0").rstrip(".") if abs(value) < 1 and "." in text else text


def _scaled(value: float, scales: Sequence[tuple[float, str]], unit: str) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    for scale, prefix in scales:
        # 999.96 shows as 1.000 of the next unit, so compare what will be printed.
        if abs(value) >= scale * 0.99995:
            return f"{figures(value / scale)} {prefix}{unit}"
    scale, prefix = scales[-1]
    return f"{figures(value / scale)} {prefix}{unit}"


def seconds(value: float) -> str:
    """
    >>> seconds(1.904e-6)
    '1.904 us'
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g} s"
    return _scaled(value, _SMALL, "")


def hertz(value: float) -> str:
    """
    >>> hertz(1.5e9)
    '1.500 GHz'
    """
    return _scaled(value, _DECIMAL, "Hz")


def size(value: float) -> str:
    """
    >>> size(512), size(1_572_864)
    ('512 B', '1.573 MB')
    """
    if value < 1000:
        return f"{value:.0f} B"
    return _scaled(value, _DECIMAL, "B")


def rate(value: float) -> str:
    """
    >>> rate(49.92e12)
    '49.92 TB/s'
    """
    return _scaled(value, _DECIMAL, "B/s")


def tenths(parts: Sequence[int], total: int) -> list[float]:
    """Shares in percent with one decimal whose sum is 100.0 where the parts sum to the total.

    The largest remainders are rounded up, so no column of a report is off by a tenth.

    >>> tenths([1, 1, 1], 3)
    [33.4, 33.3, 33.3]
    """
    if total <= 0:
        return [0.0 for _ in parts]
    exact = [1000 * part for part in parts]
    floor = [value // total for value in exact]
    left = round(sum(exact) / total) - sum(floor)
    order = sorted(range(len(parts)), key=lambda i: (-(exact[i] % total), i))
    for i in order[:left]:
        floor[i] += 1
    return [value / 10 for value in floor]


def bar(share: float, width: int = 20) -> str:
    """
    >>> bar(0.8)
    '################----'
    """
    filled = min(width, max(0, round(share * width)))
    return "#" * filled + "-" * (width - filled)


def plural(number: int, noun: str) -> str:
    """
    >>> plural(1, "cycle"), plural(2, "cycle")
    ('1 cycle', '2 cycles')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
