"""How attention is cut up: rows of queries in tiles, keys in steps and parts, work over cores.

A *tile* is `rows` query rows of one key head against all its keys, or one *split* of them. Its keys
pass in *steps* of `keys`, each in *parts* of `part` through L0. Scores are held transposed, [keys,
rows]: a vector register's 64 lanes are rows, so that maxima and sums over keys need no reduction
across lanes. With fewer rows than lanes a register holds several keys (*phases*).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from emulator.npu.chip import NpuChip
from isa.npu import BITS_OF
from programs.encoding import element_format
from programs.kernel import KernelError
from programs.npu.simd import LANES, REGISTER
from programs.npu.tiling import BLOCK, chunk, is_scaled, up

COUNTS = 15  # a counted flag counts no further: parts of p that are ready, two steps at most
AHEAD = 2  # steps that the cube's scores run ahead of the product with the values
COMBINE = 2000  # cycles to put splits together: a meeting of all cores, parts out and in
STATISTICS = 16 * REGISTER  # row maxima, sums and their like in UB


@dataclass(frozen=True)
class Work:
    """Sizes of one attention; `queries` and `keys` count heads over the whole batch."""

    queries: int
    heads: int
    seq: int
    kv: int
    dim: int
    causal: bool
    factored: bool = False  # scores and values have scales of their own, as int8's always do

    @property
    def group(self) -> int:
        """Query heads that share a key head."""
        return self.queries // self.heads

    @property
    def offset(self) -> int:
        """Query i sees keys up to i + offset."""
        return self.kv - self.seq


@dataclass(frozen=True)
class Plan:
    """The sizes of everything; bytes are of one buffer unless said otherwise."""

    work: Work
    dtype: str
    cores: int
    rows: int
    vectors: int  # sub-cores that share a tile
    keys: int
    part: int
    depth: int  # of head_dim per mmad of the scores
    width: int  # of head_dim per mmad of the values
    packed: bool  # rows of a tile are of all heads of a group, one head after the other
    split: int  # steps per tile at most; more tiles where the keys are split

    # ---- tiles -----------------------------------------------------------------------------------

    @property
    def lanes(self) -> int:
        """Rows of a vector sub-core."""
        return self.rows // self.vectors

    @property
    def phases(self) -> int:
        """Keys in a register of scores."""
        return LANES // self.lanes

    @property
    def units(self) -> int:
        """Independent sets of rows: query heads, or key heads with all their queries."""
        return self.work.heads if self.packed else self.work.queries

    @property
    def unit_rows(self) -> int:
        return self.work.seq * (self.work.group if self.packed else 1)

    @property
    def row_tiles(self) -> int:
        return up(self.unit_rows, self.rows)

    @property
    def steps(self) -> int:
        """Steps over all keys."""
        return up(self.work.kv, self.keys)

    @property
    def splits(self) -> int:
        return up(self.steps, self.split)

    @property
    def tiles(self) -> int:
        return self.units * self.row_tiles * self.splits

    @property
    def blocks(self) -> int:
        return min(self.cores, self.tiles)

    @property
    def parts(self) -> int:
        """Parts of a step."""
        return self.keys // self.part

    # ---- bytes -----------------------------------------------------------------------------------

    @property
    def bits(self) -> int:
        return BITS_OF.get(element_format(self.dtype), 8)

    @property
    def scaled(self) -> bool:
        return is_scaled(self.dtype)

    @property
    def factored(self) -> bool:
        return self.work.factored or self.dtype == "int8"

    def bytes(self, elements: int) -> int:
        return up(elements * self.bits, 8)

    @property
    def dim_blocks(self) -> int:
        """Block scales of a row of q or k."""
        return up(self.work.dim, BLOCK)

    @property
    def row_bytes(self) -> int:
        """A row of o in UB: whole registers."""
        return up(self.work.dim, LANES) * REGISTER

    @property
    def l1(self) -> dict[str, int]:
        """One slot of every ring in L1, and how many there are."""
        dim = self.bytes(self.work.dim)
        sizes = {"q": self.rows * dim, "k": self.keys * dim, "v": self.keys * dim,
                 "p": self.part * self.bytes(self.rows)}  # fmt: skip
        if self.scaled:
            sizes["q.scale"] = self.rows * self.dim_blocks
            sizes["k.scale"] = self.keys * self.dim_blocks
            sizes["v.scale"] = up(self.keys, BLOCK) * self.work.dim
        return sizes

    @property
    def p_slots(self) -> int:
        """Parts of p in L1: two steps, one being written and one being read."""
        return 2 * self.parts

    def needs(self) -> dict[str, int]:
        """Bytes of every memory."""
        depth, width = self.bytes(self.depth), self.bytes(self.width)
        l1 = sum(_aligned(size) * (self.p_slots if name == "p" else 2)
                 for name, size in self.l1.items())  # fmt: skip
        if self.scaled:
            l1 += _aligned(self.rows * up(self.part, BLOCK))
        scores, out = self.keys * self.lanes * 4, self.lanes * self.row_bytes
        p = self.part * self.bytes(self.lanes)
        return {
            "l1": l1,
            "l0a": 2 * _aligned(max(self.part * depth, self.rows * self.bytes(self.part))),
            "l0b": 2 * _aligned(max(self.rows * depth, self.part * width)),
            "l0c": 2 * _aligned(self.part * self.rows * 4)
            + 2 * _aligned(self.rows * self.width * 4),
            "ub": 2 * _aligned(scores) + 2 * _aligned(p) + 2 * _aligned(out) + STATISTICS,
        }


def _aligned(size: int) -> int:
    return up(size, REGISTER) * REGISTER


def choose(chip: NpuChip, dtype: str, work: Work) -> Plan:
    """The plan with the least estimated time of those that fit; larger ones where equal."""
    best: tuple[float, Plan] | None = None
    least: tuple[int, str] | None = None
    for plan in candidates(chip, dtype, work):
        over = excess(chip, plan)
        if over is not None:
            least = min(least, over) if least else over
            continue
        time = estimate(chip, plan)
        if best is None or time < best[0]:
            best = time, plan
    if best is None:
        message = least[1] if least else "no tile fits"
        raise KernelError(f"{chip.name}: attention with head_dim={work.dim} {message}")
    return best[1]


def excess(chip: NpuChip, plan: Plan) -> tuple[int, str] | None:
    """What does not fit: (bytes too many, message), the worst memory."""
    have = chip.buffers()
    over = [(need - have[m], f"needs {need:,} bytes of {m.upper()}, it has {have[m]:,}")
            for m, need in plan.needs().items() if need > have[m]]  # fmt: skip
    return max(over) if over else None


def candidates(chip: NpuChip, dtype: str, work: Work) -> Iterator[Plan]:
    """Plans worth a try, larger first; they need not fit."""
    unit, per_core = chunk(chip, dtype), chip.vector.per_core
    depths = [work.dim] if work.dim <= unit else [2 * unit, unit]
    for rows in (128, 64, 32, 16):
        vectors = min(per_core, max(rows // 16, 1))
        if rows // vectors > LANES:
            continue
        packed = work.group > 1 and work.seq < rows
        unit_rows = work.seq * (work.group if packed else 1)
        if rows > 16 and rows >= 2 * unit_rows:
            continue
        for keys in (512, 256, 128, 64, 32):
            if keys > 32 and keys >= 2 * work.kv:
                continue
            for part in (128, 64, 32):
                for depth in depths:
                    for width in (256, 128, 64, 32):
                        if keys % part or 2 * (keys // part) > COUNTS:
                            continue
                        if width > 32 and width >= 2 * work.dim:
                            continue
                        plan = Plan(work, dtype, chip.cores, rows, vectors, keys, part,
                                    min(depth, work.dim), min(width, work.dim), packed,
                                    up(work.kv, keys))  # fmt: skip
                        yield plan
                        # The keys of a tile dealt out to cores that would idle.
                        ways = min(chip.cores // (plan.tiles or 1), plan.steps, LANES)
                        if ways > 1 and not work.causal:
                            yield replace(plan, split=up(plan.steps, ways))


def estimate(chip: NpuChip, plan: Plan) -> float:
    """Cycles if the slowest pipe bounds a core: a rule of thumb for choosing."""
    work, cube = plan.work, chip.cube
    per_tile = plan.split
    if work.causal and plan.splits == 1:  # about half of the tiles are skipped
        per_tile = max(up(per_tile * (work.kv + work.offset), 2 * work.kv), 1)
    steps = up(plan.tiles, plan.cores) * per_tile
    k0 = chip.k0(plan.dtype)
    keys = min(plan.keys, work.kv)
    parts = up(keys, plan.part)
    part = min(plan.part, keys)

    def mmads(count: int, m: int, n: int, k: int) -> float:
        ideal = up(m, 16) * up(n, 16) * up(k, k0)
        return count * (ideal + (cube.startup if ideal < cube.startup_hidden_from
                                 else cube.startup_hidden))  # fmt: skip

    deep, wide = up(work.dim, plan.depth), up(work.dim, plan.width)
    product = mmads(parts * deep, part, plan.rows, plan.depth)
    product += mmads(parts * wide, plan.rows, plan.width, part)
    loads = 2 * parts * (deep + wide)
    overhead = cube.load_overhead + (cube.scale_overhead if plan.scaled else 0)
    mte1 = loads * overhead + parts * deep * part * plan.bytes(plan.depth) / cube.l1_l0a
    mte1 += parts * wide * part * plan.bytes(plan.rows + plan.width) / cube.l1_l0a
    fix = (keys * plan.rows + plan.rows * work.dim) * 4 / (cube.l0c_ub or 1.0)
    fix += (parts * plan.vectors + wide) * cube.fix_overhead
    registers = keys / plan.phases
    vector = registers * (chip.interval.get("simd.exp", 1) + 0.75) + 300
    vector += plan.lanes * plan.row_bytes / REGISTER * 1.75
    moved = 2 * keys * plan.bytes(work.dim) / chip.dma.gm_l1
    # Scores, p and the product cross between the sub-cores.
    step = max(product, mte1, fix, vector, moved) + 3 * chip.latency["cross_flag"]
    # A short pipeline shows its latency.
    fill = product + fix + vector + moved
    return steps * step + fill + (COMBINE if plan.splits > 1 else 0)
