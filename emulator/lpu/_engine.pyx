"""The step engine: walks time cycle by cycle and is the definition of what a program does.

Read in this order: `_state.pxi` (the data), `_step.pxi` (a cycle), `_streams.pxi` (registers that
move by renaming), then the units `_mem.pxi`, `_vxm.pxi`, `_mxm.pxi`, `_sxm.pxi` (when) over
`_lanes.pxi` (what). `_calendar.pxi` keeps time, `_hazards.pxi` faults, `_log.pxi` the record that
accounts are made from.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from cpython.exc cimport PyErr_CheckSignals

from emulator.numerics._core cimport (
    NEAREST_EVEN, canonical_nan, decode_to_f32, decode_to_f64, encode_from_f32,
    encode_from_f64_rounded, exact_k, exact_matvec, f64_to_f32, plain_matvec, sat_add_i32,
    vec_exp2, vec_rsqrt, vec_tanh,
)

import numpy as np

from emulator.numerics.formats import get_format
from isa.lpu import TYPES
from isa.table import BYTES_OF

include "../numerics/_compiler.pxi"
include "_opcodes.pxi"
include "_rows.pxi"
include "_vector.pxi"
include "_log.pxi"
include "_state.pxi"
include "_shared.pxi"
include "_hazards.pxi"
include "_calendar.pxi"
include "_lanes.pxi"
include "_vxm_lanes.pxi"
include "_streams.pxi"
include "_mem.pxi"
include "_vxm.pxi"
include "_sxm.pxi"
include "_mxm.pxi"
include "_step.pxi"

ISSUE = np.dtype([("cycle", np.int64), ("op", np.int32), ("banks", np.int32)])
USE = np.dtype([("consumer", np.int32), ("producer", np.int32), ("memory", np.int32)])
VALUE = np.dtype([
    ("diagonal", np.int64), ("issue", np.int32), ("stream", np.int16), ("column", np.int16),
    ("last", np.int16), ("pad", np.int16),
], align=True)
BURST = np.dtype([
    ("cycle", np.int64), ("count", np.int64), ("interval", np.int64), ("op", np.int32),
    ("hold", np.int32),
])
SYNC = np.dtype([("parked", np.int64), ("resumed", np.int64), ("queue", np.int32), ("op", np.int32)])


cdef object rows(Vector* v, dtype):
    """A copy of a log as a record array."""
    if dtype.itemsize != v.item:
        raise AssertionError(f"{dtype} is {dtype.itemsize} bytes, the engine's row {v.item}")
    if not v.count:
        return np.zeros(0, dtype)
    return np.frombuffer((<uint8_t[:v.count * v.item]> <uint8_t*> v.data), dtype).copy()


cdef class Engine:
    """One run. `sram` [slices * words, lanes] uint8 and `written` [slices * words] uint64 (a bit per
    superlane) are the caller's and change; see `prepare.Prepared` for the rest. `sums`, a
    `models.PlaneSums`, adds products in place of the planes.
    """

    cdef State s
    cdef object keep
    cdef object sums

    def __cinit__(self, prepared, uint8_t[:, ::1] sram, uint64_t[::1] written, int[::1] writer,
                  bint values, bint warn, sums=None):
        memset(&self.s, 0, sizeof(State))
        cdef State* s = &self.s
        cdef const Op[::1] ops = prepared.ops
        cdef const int8_t[:, ::1] entries = prepared.entries
        cdef const int[:, ::1] operands = prepared.expect_operands
        cdef const int[:, ::1] streams = prepared.expect_streams
        cdef const int[::1] producers = prepared.expect_producers
        self.keep = (ops, entries, operands, streams, producers, sram, written, writer)
        if ops.shape[0]:
            s.ops = &ops[0]
        if entries.shape[0]:
            s.entries = &entries[0, 0]
        if operands.shape[0]:
            s.expect_operands = &operands[0, 0]
        if streams.shape[0]:
            s.expect_streams = &streams[0, 0]
        if producers.shape[0]:
            s.expect_producers = &producers[0]
        s.sram, s.written, s.writer = &sram[0, 0], &written[0], &writer[0]
        s.values, s.warn = values, warn
        if sums is not None:
            self.sums = sums
            s.sums = <void*> sums
            s.by_model = [sums.chosen.floats is not None, sums.chosen.integers is not None]
        self.geometry(prepared.chip)
        self.allocate()
        self.start(prepared.bounds)

    cdef geometry(self, chip):
        cdef State* s = &self.s
        cdef int latest = max(chip.latency.values()) + max(chip.skew.values(), default=0) + 2
        names = chip.queues
        s.lanes, s.block = chip.lanes, chip.superlane
        s.pitch = (s.lanes + 63) & ~63
        s.superlanes = s.lanes // s.block
        if s.superlanes > 64:
            raise ValueError(f"{chip.name}: at most 64 superlanes, not {s.superlanes}")
        s.full = (<uint64_t> 1 << s.superlanes) - 1 if s.superlanes < 64 else ~(<uint64_t> 0)
        s.columns, s.alus, s.planes = chip.columns, chip.vxm.alus, chip.mxm.planes
        s.acc_rows = chip.mxm.acc_rows
        s.slices, s.ops_per_side = 2 * chip.mem.slices, chip.sxm.ops_per_cycle
        s.queues = len(names)
        s.first_vxm = names.index("vxm.0")
        s.first_mxm = names.index("mxm.0.weights")
        s.first_sxm = names.index("sxm.w.0")
        s.words, s.bank_bit = chip.mem.words, chip.mem.bank_bit
        s.sync_latency, s.iw_latency = chip.latency["sync"], chip.latency["mxm.iw"]
        s.ring = 256
        while s.ring < latest:
            s.ring *= 2
        s.queue_words = (s.queues + 63) // 64

    cdef allocate(self):
        cdef State* s = &self.s
        cdef int i, k
        cdef int bad = 0
        s.head = <int*> malloc(KINDS * s.ring * sizeof(int))
        s.tail = <int*> malloc(KINDS * s.ring * sizeof(int))
        s.due = <uint64_t*> calloc(s.ring * s.queue_words, 8)
        s.busy = <uint64_t*> calloc(s.ring // 64, 8)
        s.far_time = <int64_t*> malloc((s.queues + 1) * sizeof(int64_t))
        s.far_queue = <int*> malloc((s.queues + 1) * sizeof(int))
        s.queue = <Queue*> calloc(s.queues, sizeof(Queue))
        s.pending_capacity = s.buffer_capacity = 256
        s.buffer_bytes = 4 * s.pitch
        s.pending = <Pending*> malloc(s.pending_capacity * sizeof(Pending))
        s.buffers = <uint8_t*> malloc(s.buffer_capacity * s.buffer_bytes)
        s.buffer_next = <int*> malloc(s.buffer_capacity * sizeof(int))
        s.slots = <Slot*> malloc(64 * s.columns * sizeof(Slot))
        s.slot_data = <uint8_t*> calloc(64 * s.columns, s.pitch)
        s.ports = <Port*> malloc(2 * s.slices * sizeof(Port))
        s.alu = <Alu*> calloc(s.alus, sizeof(Alu))
        s.chained = <Chained*> malloc(s.alus * s.ring * sizeof(Chained))
        s.plane = <Plane*> calloc(s.planes, sizeof(Plane))
        s.maps = <Map*> calloc(2 * s.ops_per_side, sizeof(Map))
        s.zeros = <uint8_t*> calloc(4, s.pitch)
        s.result = <uint8_t*> malloc(4 * s.pitch)
        s.x = <double*> malloc(s.pitch * sizeof(double))
        s.products = <double*> malloc(2 * s.pitch * sizeof(double))
        s.row = <float*> malloc(s.pitch * sizeof(float))
        s.hazard_capacity = 64
        s.hazards = <HazardRow*> malloc(s.hazard_capacity * sizeof(HazardRow))
        s.hazard_index = <int*> malloc(2 * s.hazard_capacity * sizeof(int))
        for k in range(3):
            s.operand[k] = <uint8_t*> malloc(4 * s.pitch)
            bad |= s.operand[k] == NULL
        bad |= (s.head == NULL or s.tail == NULL or s.due == NULL or s.busy == NULL
                or s.far_time == NULL or s.far_queue == NULL or s.queue == NULL
                or s.pending == NULL or s.buffers == NULL or s.buffer_next == NULL
                or s.slots == NULL or s.slot_data == NULL or s.ports == NULL or s.alu == NULL
                or s.chained == NULL or s.plane == NULL or s.maps == NULL or s.zeros == NULL
                or s.result == NULL or s.x == NULL or s.products == NULL or s.row == NULL
                or s.hazards == NULL or s.hazard_index == NULL)
        if bad:
            raise MemoryError
        for i in range(s.alus):
            s.alu[i].acc = <uint32_t*> calloc(4, s.pitch)
            bad |= s.alu[i].acc == NULL
        for i in range(s.planes):
            s.plane[i].acc_type = <int8_t*> calloc(s.acc_rows, 1)
            bad |= s.plane[i].acc_type == NULL
        for i in range(2 * s.ops_per_side):
            s.maps[i].lanes = <uint16_t*> calloc(2, s.pitch)
            bad |= s.maps[i].lanes == NULL
        if bad:
            raise MemoryError
        vector_init(&s.log.issues, sizeof(IssueRow))
        vector_init(&s.log.uses, sizeof(UseRow))
        vector_init(&s.log.values, sizeof(ValueRow))
        vector_init(&s.log.bursts, sizeof(BurstRow))
        vector_init(&s.log.syncs, sizeof(SyncRow))

    cdef start(self, long[:, ::1] bounds):
        """Everything empty, all queues at their first instruction."""
        cdef State* s = &self.s
        cdef int i, k
        for i in range(KINDS * s.ring):
            s.head[i] = -1
        for i in range(s.pending_capacity):
            s.pending[i].next = i + 1 if i + 1 < s.pending_capacity else -1
            s.buffer_next[i] = s.pending[i].next
        for i in range(64 * s.columns):
            s.slots[i].issue = -1
        for i in range(2 * s.slices):
            s.ports[i].cycle = FAR_PAST
        for i in range(s.alus * s.ring):
            s.chained[i].cycle = FAR_PAST
        for i in range(s.planes):
            s.plane[i].installed = s.plane[i].mm_start = s.plane[i].mm_end = FAR_PAST
            s.plane[i].weights_end = FAR_PAST
            s.plane[i].install_op = -1
            for k in range(2):
                s.plane[i].buffers[k].type = -1
                s.plane[i].buffers[k].op = -1
                s.plane[i].buffers[k].complete = FAR_FUTURE
        for i in range(2 * s.ops_per_side):
            s.maps[i].ready = FAR_PAST
        for i in range(2 * s.hazard_capacity):
            s.hazard_index[i] = -1
        s.last = s.first_lw = s.last_lw = s.first_mm = s.last_mm = -1
        for i in range(s.queues):
            s.queue[i].op, s.queue[i].end = <int> bounds[i, 0], <int> bounds[i, 1]
            if bounds[i, 0] < bounds[i, 1]:
                schedule_queue(s, i, s.ops[bounds[i, 0]].wait)

    def __dealloc__(self):
        cdef State* s = &self.s
        cdef int i, k
        for i in range(s.alus if s.alu != NULL else 0):
            free(s.alu[i].acc)
        for i in range(2 * s.ops_per_side if s.maps != NULL else 0):
            free(s.maps[i].lanes)
        for i in range(s.planes if s.plane != NULL else 0):
            free(s.plane[i].acc)
            free(s.plane[i].acc_type)
            for k in range(2):
                free(s.plane[i].buffers[k].raw)
                free(s.plane[i].buffers[k].scales)
                free(s.plane[i].buffers[k].values)
        for k in range(3):
            free(s.operand[k])
        free(s.head); free(s.tail); free(s.due); free(s.busy); free(s.far_time); free(s.far_queue)
        free(s.queue); free(s.pending); free(s.buffers); free(s.buffer_next); free(s.slots)
        free(s.slot_data); free(s.ports); free(s.alu); free(s.chained); free(s.plane); free(s.maps)
        free(s.zeros); free(s.result); free(s.x); free(s.products); free(s.row)
        free(s.hazards); free(s.hazard_index)
        free(s.log.issues.data); free(s.log.uses.data); free(s.log.values.data)
        free(s.log.bursts.data); free(s.log.syncs.data)

    def run(self):
        """Run to the end, or to the end of the first cycle with an error."""
        cdef int done = 0
        while not done:
            with nogil:
                done = run_some(&self.s, 1 << 18)
            PyErr_CheckSignals()
        if self.sums is not None and self.sums.error is not None:
            raise self.sums.error
        if self.s.failed:
            raise MemoryError("the run's log does not fit into memory")

    @property
    def last_cycle(self):
        """Last cycle in which anything happened, -1 if nothing did."""
        return self.s.last

    @property
    def totals(self):
        """Vectors moved and cycles of note."""
        return totals_of(&self.s)

    def log(self):
        """What happened as record arrays: issues, uses, values, bursts, syncs."""
        cdef Log* log = &self.s.log
        return {
            "issues": rows(&log.issues, ISSUE), "uses": rows(&log.uses, USE),
            "values": rows(&log.values, VALUE), "bursts": rows(&log.bursts, BURST),
            "syncs": rows(&log.syncs, SYNC),
        }

    def hazards(self):
        """Rows (kind, op, other, stream, column, error, cycle, count, x, y) in order of cycle."""
        cdef int i
        cdef HazardRow* h
        found = []
        for i in range(self.s.hazard_count):
            h = &self.s.hazards[i]
            found.append((h.kind, h.op, h.other, h.stream, h.column, bool(h.error),
                          h.cycle, h.count, h.x, h.y))
        return found
