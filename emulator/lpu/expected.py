"""What the operands of a built program expect, as arrays: no objects for each of many operands.

To others it is the mapping that `isa.program` describes; `prepare` reads the arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from isa.program import Producer

Streams = tuple[tuple[Producer, ...], ...]
Key = tuple[str, int, str]
Table = NDArray[np.int64]
OPERANDS = ("a", "b", "c")


@dataclass(frozen=True, eq=False)
class Expected(Mapping[Key, Streams]):
    """Operand i of the program expects list ``wants[i]``, whose streams lie side by side.

    `words` [n, 3] are section, word and position in `OPERANDS`, `lists` [n, 2] the first stream and
    how many, `streams` [n, 2] the first producer and how many, `producers` [n, 2] section and word.
    """

    sections: Sequence[str]
    words: Table
    wants: Table
    lists: Table
    streams: Table
    producers: Table

    @cached_property
    def _mapping(self) -> dict[Key, Streams]:
        names = self.sections
        producers = [(names[section], word) for section, word in self.producers.tolist()]
        streams = [tuple(producers[i : i + n]) for i, n in self.streams.tolist()]
        lists = [tuple(streams[i : i + n]) for i, n in self.lists.tolist()]
        return {
            (names[section], word, OPERANDS[operand]): lists[want]
            for (section, word, operand), want in zip(
                self.words.tolist(), self.wants.tolist(), strict=True
            )
        }

    def __getitem__(self, key: Key) -> Streams:
        return self._mapping[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._mapping)

    def __len__(self) -> int:
        return len(self.words)
