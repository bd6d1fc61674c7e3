"""The bulk engine's timing: what the step engine finds out cycle by cycle, on whole bursts.

Read in this order: `_bulk_rows.pxi` (the data), `_bulk_walk.pxi` (when every burst issues),
`_bulk_streams.pxi` (who takes whose value), `_bulk_memory.pxi` and `_bulk_planes.pxi` (the same
through SRAM and weights), `_bulk_blockers.pxi` (who had a register before), `_bulk_charge.pxi` (an
order in which producers come first, and where the cycles went).

A *segment* is a burst, or a part of one: issues of one instruction at equal distances. Where a
program has any fault, or a burst feeds itself, `Bulk` only says so (`why`): the step engine is the
definition, and gives the message.
"""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

import numpy as np

from emulator.lpu._engine import BURST
from isa.lpu import TYPES
from isa.table import BYTES_OF

include "_opcodes.pxi"
include "_rows.pxi"
include "_vector.pxi"
include "_reasons.pxi"
include "_bulk_rows.pxi"
include "_shared.pxi"
include "_bulk_walk.pxi"
include "_bulk_streams.pxi"
include "_bulk_memory.pxi"
include "_bulk_planes.pxi"
include "_bulk_blockers.pxi"
include "_bulk_charge.pxi"


def _bind_types():
    for name, code in TYPES.items():
        TYPE_BYTES[code] = BYTES_OF[name]


_bind_types()

# The structs above that Python reads.
SEGMENT = np.dtype([
    *((n, np.int64) for n in ("t0", "d", "n", "value", "stride")),
    *((n, np.int32) for n in ("op", "queue", "prev", "first_link", "links")), ("pad0", np.int32),
    *((n, np.int64) for n in ("woken", "stream_at", "stream_elem")),
    *((n, np.int32) for n in ("stream_seg", "blockers")),
    ("bank_seg", np.int32, 2), ("bank_elem", np.int64, 2), ("bank_first", np.int64, 2),
    ("unit_seg", np.int32, 2), ("install_seg", np.int32), ("pad1", np.int32),
    *((n, np.int64) for n in ("x0", "slope", "xs")),
    *((n, np.int32) for n in ("load", "load_scales", "constant", "state", "follow", "pad2")),
])
LINK = np.dtype([
    *((n, np.int64) for n in ("i0", "n", "k0", "ks")),
    *((n, np.int32) for n in ("seg", "producer")),
    *((n, np.int16) for n in ("operand", "part", "source", "chained")),
])


cdef class Bulk:
    """A program resolved into segments and links, once for all inputs.

    `written` [slices * words] uint64 (a bit per superlane) says what the host fills; afterwards it
    says what is written when the program ends. `why` is None, or why the step engine has to run the
    program; the rest then means nothing.
    """

    cdef State s
    cdef object keep

    def __cinit__(self, prepared, uint64_t[::1] written):
        cdef State* s = &self.s
        cdef const Op[::1] ops = prepared.ops
        cdef const int[:, ::1] operands = prepared.expect_operands
        cdef const int[:, ::1] streams = prepared.expect_streams
        cdef const int[::1] producers = prepared.expect_producers
        memset(s, 0, sizeof(State))
        self.keep = (prepared, ops, operands, streams, producers)
        if ops.shape[0]:
            s.ops = &ops[0]
        if operands.shape[0]:
            s.expect_operands = &operands[0, 0]
        if streams.shape[0]:
            s.expect_streams = &streams[0, 0]
        if producers.shape[0]:
            s.expect_producers = &producers[0]
        vector_init(&s.segs, sizeof(Seg))
        vector_init(&s.takes, sizeof(Take))
        vector_init(&s.drives, sizeof(Drive))
        vector_init(&s.links, sizeof(Link))
        vector_init(&s.bursts, sizeof(BurstRow))
        vector_init(&s.syncs, sizeof(SyncIssue))
        vector_init(&s.pairs, sizeof(Pair))
        vector_init(&s.starts, sizeof(Start))
        vector_init(&s.seen, 8)
        vector_init(&s.order, 8)
        vector_init(&s.blocked_at, 8)
        vector_init(&s.blocked_seg, 8)
        vector_init(&s.blocked_elem, 8)
        vector_init(&s.xs, 8)
        s.last = s.first_lw = s.last_lw = s.first_mm = s.last_mm = -1
        self.geometry(prepared.chip)
        if ops.shape[0]:
            s.group = int(np.asarray(ops)["planes"].max())
            # Most bursts of two levels are a segment for each of the outer one.
            expected = min(int(np.asarray(ops)["n2"].sum()) + ops.shape[0], MOST_EXPECTED)
            vector_reserve(&s.segs, expected)
            vector_reserve(&s.drives, expected)
            vector_reserve(&s.links, expected)
        self.resolve(prepared, written)

    def __dealloc__(self):
        cdef State* s = &self.s
        free(s.segs.data); free(s.takes.data); free(s.drives.data); free(s.links.data)
        free(s.seen.data); free(s.bursts.data); free(s.syncs.data); free(s.pairs.data)
        free(s.starts.data); free(s.order.data); free(s.blocked_at.data); free(s.blocked_seg.data)
        free(s.blocked_elem.data); free(s.xs.data)

    cdef geometry(self, chip):
        cdef State* s = &self.s
        names = chip.queues
        s.columns, s.planes, s.slices = chip.columns, chip.mxm.planes, 2 * chip.mem.slices
        s.alus, s.queues, s.acc_rows = chip.vxm.alus, len(names), chip.mxm.acc_rows
        s.first_vxm = names.index("vxm.0")
        s.first_mxm = names.index("mxm.0.weights")
        s.first_sxm = names.index("sxm.w.0")
        s.words, s.bank_bit = chip.mem.words, chip.mem.bank_bit
        s.sync_latency, s.iw_latency = chip.latency["sync"], chip.latency["mxm.iw"]
        s.group = 1

    cdef resolve(self, prepared, uint64_t[::1] written):
        """All passes, until one finds something that is the step engine's."""
        cdef State* s = &self.s
        if any(prepared.chip.skew.values()):
            give_up(s, "skews")
            return
        if prepared.addresses_are_data:
            give_up(s, "addresses from streams")
            return
        self.walk(prepared.bounds)
        if s.why == NULL:
            self.match()
        if s.why == NULL:
            self.memory(written, (1 << prepared.chip.stagger) - 1)
        if s.why == NULL:
            self.matrix()
        if s.why == NULL:
            group_links(s)
            self.blockers()
        if s.why == NULL:
            self.sort()

    cdef walk(self, const int64_t[:, ::1] bounds):
        cdef State* s = &self.s
        cdef Walker* queue = <Walker*> calloc(s.queues, sizeof(Walker))
        cdef int* prev = <int*> malloc(s.queues * sizeof(int))
        cdef Left* left = <Left*> calloc(s.queues, sizeof(Left))
        cdef int q
        cdef int64_t i
        if queue != NULL and prev != NULL and left != NULL:
            for q in range(s.queues):
                queue[q].op, queue[q].end = <int> bounds[q, 0], <int> bounds[q, 1]
                queue[q].woken = queue[q].parked = -1
                prev[q] = -1
            with nogil:
                if walk(s, queue) and expand_all(s, prev):
                    for i in range(s.segs.count):
                        if not connect(s, <int> i, &left[seg_at(s, i).queue]):
                            break
        else:
            give_up(s, "memory")
        free(queue)
        free(prev)
        free(left)

    cdef match(self):
        cdef State* s = &self.s
        takes, drives = self.sorted_takes(), self.sorted_drives()
        cdef const int64_t[::1] t = takes
        cdef const int64_t[::1] d = drives
        cdef int64_t[::1] reach = np.zeros(s.drives.count + 1, np.int64)
        with nogil:
            match_all(s, &t[0], &d[0], &reach[0])

    cdef sorted_takes(self):
        cdef int64_t n = self.s.takes.count, i
        cdef Take* t = <Take*> self.s.takes.data
        keys = np.zeros(n + 1, np.int64)
        cdef int64_t[::1] key = keys
        for i in range(n):
            key[i] = (<int64_t> t[i].stream << 48) + (<int64_t> 1 << 40) + t[i].diag
        key[n] = <int64_t> 1 << 62
        return np.argsort(keys, kind="stable")

    cdef sorted_drives(self):
        """By stream, diagonal, and place: the order in which values of one diagonal are driven."""
        cdef int64_t n = self.s.drives.count, i
        cdef Drive* t = <Drive*> self.s.drives.data
        keys = np.zeros(n + 1, np.int64)
        cdef int64_t[::1] key = keys
        for i in range(n):
            key[i] = ((<int64_t> t[i].stream << 55) + (((<int64_t> 1 << 40) + t[i].diag) << 12)
                      + t[i].place)
        key[n] = <int64_t> 0x7fffffffffffffff
        return np.argsort(keys, kind="stable")

    cdef by_time(self, int first, int last, int by_slice):
        """Segments of queues first..last-1 by (slice,) cycle and queue."""
        cdef State* s = &self.s
        cdef int64_t n = s.segs.count, i
        cdef Seg* g = <Seg*> s.segs.data
        which, times = np.zeros(n, np.int64), np.zeros(n, np.int64)
        cdef int64_t[::1] w = which
        cdef int64_t[::1] t = times
        cdef int64_t count = 0
        for i in range(n):
            if first <= g[i].queue < last:
                w[count] = i
                t[count] = (g[i].t0 << 12) + g[i].queue - first
                if by_slice:
                    t[count] = (<int64_t> (g[i].queue >> 1) << 50) + (g[i].t0 << 1) + (g[i].queue & 1)
                count += 1
        return which[:count][np.argsort(times[:count], kind="stable")]

    cdef memory(self, uint64_t[::1] written, uint64_t full):
        cdef State* s = &self.s
        order = self.by_time(0, 2 * s.slices, 1)
        cdef int64_t[::1] at = np.append(order, 0)
        cdef int64_t[::1] writes = np.zeros(s.slices, np.int64)
        cdef int64_t n = len(order), i
        for i in range(n):
            if s.ops[seg_at(s, at[i]).op].code == OP_WRITE:
                writes[seg_at(s, at[i]).queue >> 1] = 1
        with nogil:
            memory(s, &at[0], n, &writes[0], &written[0], full)

    cdef matrix(self):
        cdef State* s = &self.s
        order = self.by_time(s.first_mxm, s.first_mxm + 2 * s.planes, 0)
        cdef int64_t[::1] at = np.append(order, 0)
        cdef int64_t n = len(order)
        with nogil:
            matrix(s, &at[0], n)

    cdef blockers(self):
        """Streams in ascending order; those whose bursts interleave value by value."""
        cdef State* s = &self.s
        cdef int64_t[::1] at = self.sorted_drives()
        cdef Drive* drives = <Drive*> s.drives.data
        cdef int64_t low = 0, high = 0, n = s.drives.count, c
        cdef int plain
        cdef Taken* taken = <Taken*> malloc(s.columns * sizeof(Taken))
        if taken == NULL:
            give_up(s, "memory")
            return
        while low < n and drives[at[low]].stream < STREAMS and s.why == NULL:
            while high < n and drives[at[high]].stream == drives[at[low]].stream:
                high += 1
            for c in range(s.columns):
                taken[c].diag, taken[c].seg = NEVER, -1
            with nogil:
                plain = plain_stream(s, drives, &at[0], low, high, taken)
            if not plain:
                for c in range(s.columns):
                    taken[c].diag, taken[c].seg = NEVER, -1
                self.mixed(at[low:high], taken)
            low = high
        free(taken)

    cdef mixed(self, const int64_t[::1] at, Taken* taken):
        cdef State* s = &self.s
        cdef Drive* drives = <Drive*> s.drives.data
        cdef int64_t i, k, n = 0
        for i in range(at.shape[0]):
            n += drives[at[i]].n
        cdef int64_t[::1] which = np.zeros(n, np.int64)
        cdef int64_t[::1] elems = np.zeros(n, np.int64)
        keys = np.zeros(n, np.int64)
        cdef int64_t[::1] key = keys
        n = 0
        for i in range(at.shape[0]):
            for k in range(drives[at[i]].n):
                which[n], elems[n] = at[i], k
                key[n] = ((drives[at[i]].diag + k * drives[at[i]].d + (<int64_t> 1 << 40)) << 12) + (
                    drives[at[i]].place)
                n += 1
        cdef int64_t[::1] order = np.argsort(keys, kind="stable")
        with nogil:
            mixed_stream(s, drives, &which[0], &elems[0], &order[0], n, taken)

    cdef sort(self):
        cdef State* s = &self.s
        cdef int64_t[::1] roots = np.append(self.by_time(0, s.queues, 0), 0)
        with nogil:
            sort_out(s, &roots[0])

    # ---- what was found ----------------------------------------------------------------------

    @property
    def why(self):
        """None, or why the step engine has to run this program."""
        return None if self.s.why == NULL else self.s.why.decode()

    @property
    def last_cycle(self):
        """Last cycle in which anything happens, -1 if nothing does."""
        return self.s.last

    @property
    def totals(self):
        """Vectors moved and cycles of note."""
        return totals_of(&self.s)

    def segments(self):
        """Record array `SEGMENT`."""
        return records(&self.s.segs, SEGMENT)

    def links(self):
        """Record array `LINK`, those of a segment together."""
        return records(&self.s.links, LINK)

    def order(self):
        """Segment numbers, producers before consumers."""
        return records(&self.s.order, np.dtype(np.int64))

    def bursts(self):
        """Record array `BURST`, as the step engine logs it: by cycle, then queue."""
        rows = records(&self.s.bursts, BURST)
        queues = np.asarray(self.keep[0].ops["queue"])[rows["op"]]
        return rows[np.argsort((rows["cycle"] << 12) + queues, kind="stable")]

    def accounts(self, *, int64_t cycles, queue_unit, unit_count, plane_unit):
        """Where the cycles of every instruction and unit went: as `_accounts.Accounts`."""
        cdef State* s = &self.s
        cdef Sums sums
        cdef int64_t i, longest = 1
        cdef int n = len(self.keep[0].ops), units = len(unit_count), failed = 0
        cdef SyncIssue* sync
        result = Charges()
        cdef int64_t[::1] issued = np.zeros(n + 1, np.int64)
        cdef int64_t[::1] busy = np.zeros(n + 1, np.int64)
        cdef int64_t[::1] first = np.full(n + 1, -1, np.int64)
        cdef int64_t[::1] last = np.full(n + 1, -1, np.int64)
        cdef int64_t[:, ::1] waits = np.zeros((n + 1, REASON_COUNT), np.int64)
        cdef int64_t[::1] in_unit = np.zeros(units, np.int64)
        cdef int64_t[:, ::1] unit_waits = np.zeros((units, REASON_COUNT), np.int64)
        cdef int64_t[::1] free_from = np.zeros(s.queues, np.int64)
        cdef int64_t[::1] earliest = np.zeros(s.queues, np.int64)
        cdef int64_t[::1] plane_free = np.zeros(s.planes, np.int64)
        cdef const int[::1] of_queue = np.asarray(queue_unit, np.int32)
        cdef const int[::1] of_plane = np.asarray(plane_unit, np.int32)
        for i in range(s.segs.count):
            longest = max(longest, seg_at(s, i).n)
        cdef int64_t[::1] ready = np.zeros(longest, np.int64)
        sums.issued, sums.busy, sums.first, sums.last = &issued[0], &busy[0], &first[0], &last[0]
        sums.waits, sums.in_unit, sums.unit_waits = &waits[0, 0], &in_unit[0], &unit_waits[0, 0]
        sums.free_from, sums.earliest, sums.plane_free = &free_from[0], &earliest[0], &plane_free[0]
        sums.unit_of_queue, sums.unit_of_plane, sums.ready = &of_queue[0], &of_plane[0], &ready[0]
        s.xs.count = 0
        with nogil:
            for i in range(s.segs.count):
                seg_at(s, i).xs = -1
            for i in range(s.order.count):
                if i + FORESIGHT < s.order.count:
                    foresee(s, ints(&s.order)[i + FORESIGHT])
                if not charge(s, &sums, <int> ints(&s.order)[i]):
                    failed = 1
                    break
            for i in range(s.syncs.count):
                sync = <SyncIssue*> s.syncs.data + i
                issued[sync.op] += 1
                first[sync.op] = sync.cycle if first[sync.op] < 0 else min(first[sync.op], sync.cycle)
                last[sync.op] = max(last[sync.op], sync.cycle)
        if failed:
            raise MemoryError
        result.op_issued, result.op_busy = np.asarray(issued)[:n], np.asarray(busy)[:n]
        result.op_first, result.op_last = np.asarray(first)[:n], np.asarray(last)[:n]
        result.op_waits, result.unit_waits = np.asarray(waits)[:n], np.asarray(unit_waits)
        result.unit_busy = np.asarray(in_unit)
        result.unit_idle = np.asarray(unit_count, np.int64) * cycles
        result.unit_idle -= result.unit_busy + result.unit_waits.sum(1)
        return result


class Charges:
    """The sums of a run, under the names of `_accounts.Accounts`."""
