"""The NPU's event loop: sub-cores, pipes, flags, memories, in C structs and without the GIL.

Read in this order: _state.pxi (what there is), _run.pxi (what happens), _account.pxi (why a pipe did
not work), _flags.pxi, _dma.pxi, _cube.pxi, _races.pxi, _work.pxi (values that wait), _gm.pxi (the
seam to the memory system); for SIMD functions _simd_state.pxi, _vcall.pxi, _simd_time.pxi,
_simd_memory.pxi, _simd_lanes.pxi.
`emulator.npu.machine` is the Python side.
"""

from libc.math cimport INFINITY, ceil, fabs, fabsf, rint, trunc
from libc.stdint cimport (
    int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t,
)
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memchr, memcpy, memset

cimport cython

from emulator.numerics._core cimport (
    BF16, E2M1, E2M3, E3M2, E4M3, E5M2, E8M0, FP16, FP32, HIF8, INT4, INT8, INT32, UINT8,
    ProductScratch, add_chunks, canonical_nan, decode_to_f32, decode_to_f64, encode_from_f32,
    encode_from_f64_rounded, free_scratch, i32_to_f32, sat_add_i32, vec_erf, vec_exp, vec_exp2,
    vec_ln, vec_rsqrt, vec_sqrt, vec_tanh,
)

from emulator.npu.memory._system cimport (
    Answer, GM_ATOMIC, GM_READ, GM_WRITE, Memory, Request, expect_sector, memory_free, memory_new,
    memory_warm, serve, serve_sector,
)

from threading import Thread

import numpy as np

include "_state.pxi"
include "_events.pxi"
include "_account.pxi"
include "_machine.pxi"
include "_races.pxi"
include "_races_global.pxi"
include "_gm.pxi"
include "_work.pxi"
include "_flags.pxi"
include "_scalar.pxi"
include "_dma.pxi"
include "_cube.pxi"
include "_simd_lanes.pxi"
include "_simd_time.pxi"
include "_simd_memory.pxi"
include "_vcall.pxi"
include "_simt_lanes.pxi"
include "_simt_registers.pxi"
include "_simt_races.pxi"
include "_simt_cache.pxi"
include "_simt_memory.pxi"
include "_simt_control.pxi"
include "_simt_issue.pxi"
include "_simt.pxi"
include "_run.pxi"


def op_size() -> int:
    """Bytes of the C struct Op, to be compared with the numpy row."""
    return sizeof(Op)


def uop_size() -> int:
    """Bytes of the C struct Uop, likewise."""
    return sizeof(Uop)


@cython.final
cdef class Engine:
    """One run of one program on one chip; `machine.spec` gives the numbers. `sums`, a
    `models.CubeSums`, adds products in place of the cube.
    """

    cdef Machine m
    cdef list kept
    cdef object sums

    def __cinit__(self, spec, ops, functions, uops, sections, tensors, blocks, kind, values,
                  strict, bint warm, int threads, int most_work, sums=None):
        cdef Machine* m = &self.m
        memset(m, 0, sizeof(Machine))
        self.kept = [ops, uops]
        self.sums = sums
        if sums is not None:
            m.sums = <void*> sums
            m.by_model = [sums.chosen.floats is not None, sums.chosen.integers is not None]
        self._spec(spec)
        self._ops(ops, functions)
        self._uops(uops)
        m.blocks, m.kind, m.values, m.strict = blocks, kind, values, strict
        self._tensors(tensors)
        m.memory = memory_new(spec["memory"], max((t[0] + t[2] for t in tensors), default=0))
        if warm:
            for base, _, size, _, writable in tensors:
                if not writable:
                    memory_warm(m.memory, base, size)
        self._subs(sections)
        m.simd = <Simd*> calloc(1, sizeof(Simd))
        m.called = <Called*> calloc(CALLS, sizeof(Called))
        if m.simd == NULL or m.called == NULL:
            raise MemoryError
        if not agenda_new(&m.agenda):
            raise MemoryError
        if values:
            self._work(threads)
            m.most_work = most_work

    def _spec(self, spec):
        cdef Spec* c = &self.m.spec
        cdef int i
        for name, value in spec["numbers"].items():
            self._number(name, value)
        for code, k in spec["k0"].items():
            c.k0[code] = k
        for pipe, depth in spec["queue"].items():
            c.queue[pipe] = depth
        for space, size in spec["sizes"].items():
            c.sizes[space] = size
        if spec["simt"]:
            self._simt(spec["simt"])
            self.m.ahead = max(1, min(RING - 1, spec["ahead"]))

    def _simt(self, numbers):
        cdef SimtSpec* c = &self.m.simt_spec
        cdef int i
        c.schedulers, c.threads = numbers["schedulers"], numbers["threads"]
        c.mshrs, c.writes, c.ways = numbers["mshrs"], numbers["writes"], numbers["ways"]
        c.depth, c.ub_lanes, c.hit = numbers["stack"], numbers["ub_lanes"], numbers["hit"]
        c.launch, c.barrier, c.fill = numbers["launch"], numbers["barrier"], numbers["fill"]
        c.fills = 1 / c.fill
        c.dcache_least, c.dcache_most = numbers["dcache"]
        for i in range(WARPS):
            c.scheduler[i] = i % c.schedulers
        c.sizes = len(numbers["registers"])
        for i in range(c.sizes):
            c.size_threads[i], c.size_registers[i] = numbers["registers"][i]

    def _number(self, name, value):
        cdef Spec* c = &self.m.spec
        if name == "cores": c.cores = value
        elif name == "vectors": c.vectors = value
        elif name == "rows": c.rows = value
        elif name == "chunk": c.chunk = value
        elif name == "startup": c.startup = value
        elif name == "startup_hidden": c.startup_hidden = value
        elif name == "startup_hidden_from": c.startup_hidden_from = value
        elif name == "load_overhead": c.load_overhead = value
        elif name == "scale_overhead": c.scale_overhead = value
        elif name == "fix_overhead": c.fix_overhead = value
        elif name == "dma_overhead": c.dma_overhead = value
        elif name == "flag": c.flag = value
        elif name == "cross_flag": c.cross_flag = value
        elif name == "unit": c.unit = value
        elif name == "banks": c.banks = value
        elif name == "interleave": c.interleave = value
        elif name == "sub_bank": c.sub_bank = value
        elif name == "window": c.window = value
        elif name == "arithmetic": c.ports[PORT_ARITHMETIC] = value
        elif name == "loads": c.ports[PORT_LOAD] = value
        elif name == "stores": c.ports[PORT_STORE] = value
        elif name == "scalars": c.ports[PORT_SCALAR] = value
        elif name == "special": c.ports[PORT_SPECIAL] = value
        elif name == "l1_l0a": c.l1_l0a = value
        elif name == "l1_l0b": c.l1_l0b = value
        elif name == "l1_banks": c.l1_banks = value
        elif name == "l1_bank": c.l1_bank = value
        elif name == "l0c_gm": c.l0c_gm = value
        elif name == "l0c_l1": c.l0c_l1 = value
        elif name == "l0c_ub": c.l0c_ub = value
        elif name == "gm_l1": c.gm_l1 = value
        elif name == "gm_ub": c.gm_ub = value
        elif name == "ub_gm": c.ub_gm = value
        elif name == "ub_l1": c.ub_l1 = value
        else: raise KeyError(name)

    def _ops(self, ops, functions):
        cdef Machine* m = &self.m
        cdef const uint8_t[::1] raw = ops.view(np.uint8)
        cdef int i
        m.op_count = len(ops)
        m.ops = <Op*> &raw[0] if len(ops) else NULL
        m.uses = <Use*> calloc(m.op_count + 1, sizeof(Use))
        m.scalars = <Step*> calloc(m.op_count + 1, sizeof(Step))
        if m.uses == NULL or m.scalars == NULL:
            raise MemoryError
        for i in range(m.op_count):
            m.scalars[i] = step_of(&m.ops[i])
        m.function_count = len(functions)
        m.functions = <Function*> calloc(m.function_count + 1, sizeof(Function))
        if m.functions == NULL:
            raise MemoryError
        for i in range(m.function_count):
            (m.functions[i].first, m.functions[i].end, m.functions[i].simt, m.functions[i].fixed,
             m.functions[i].depends, m.functions[i].registers) = functions[i]

    def _uops(self, uops):
        """The words of SIMT functions; without any, there is nothing of SIMT mode."""
        cdef Machine* m = &self.m
        cdef uint8_t[::1] raw
        if not len(uops):
            return
        raw = uops.view(np.uint8)
        m.uops = <Uop*> &raw[0]
        m.stalls = <int64_t*> calloc(m.op_count * WHYS, sizeof(int64_t))
        m.tensor_of = <int32_t*> calloc(m.op_count, sizeof(int32_t))
        if m.stalls == NULL or m.tensor_of == NULL:
            raise MemoryError

    def _tensors(self, tensors):
        """[(base, codes uint8 or None, size, valid uint8 or None, writable)], ascending."""
        cdef Machine* m = &self.m
        cdef uint8_t[::1] codes, valid
        cdef Tensor* t
        cdef int i
        cdef int64_t granules
        m.tensor_count = len(tensors)
        m.tensors = <Tensor*> calloc(m.tensor_count + 1, sizeof(Tensor))
        if m.tensors == NULL:
            raise MemoryError
        for i, (base, data, size, known, writable) in enumerate(tensors):
            t = &m.tensors[i]
            t.base, t.size, t.writable = base, size, writable
            if writable:
                granules = (size // GRANULE // BLOCK + 1) * BLOCK
                t.last_write = <int32_t*> malloc(granules * sizeof(int32_t))
                t.last_read = <int32_t*> malloc(granules * sizeof(int32_t))
                t.mixed = <int32_t*> calloc(granules, sizeof(int32_t))
                if t.last_write == NULL or t.last_read == NULL or t.mixed == NULL:
                    raise MemoryError
                if m.values or m.uops != NULL:
                    memset(t.last_write, 255, granules * sizeof(int32_t))
                    memset(t.last_read, 255, granules * sizeof(int32_t))
                else:   # filled in where a block is split, so that the rest is never touched
                    t.blocks_written = <int32_t*> malloc(granules // BLOCK * sizeof(int32_t))
                    t.blocks_read = <int32_t*> malloc(granules // BLOCK * sizeof(int32_t))
                    if t.blocks_written == NULL or t.blocks_read == NULL:
                        raise MemoryError
                    memset(t.blocks_written, 255, granules // BLOCK * sizeof(int32_t))
                    memset(t.blocks_read, 255, granules // BLOCK * sizeof(int32_t))
            if data is not None:
                codes = data
                t.data = &codes[0]
                self.kept.append(data)
            if known is not None:
                valid = known
                t.valid = &valid[0]
                t.whole = <uint8_t*> calloc(size // GRANULE + 1, 1)
                if t.whole == NULL:
                    raise MemoryError
                self.kept.append(known)

    def _subs(self, sections):
        """sections: (first row, end row) of the cube's and of the vectors' program, or (-1, -1)."""
        cdef Machine* m = &self.m
        cdef Sub* s
        cdef Pipe* p
        cdef int i, j, k, core, number
        cdef int[PIPES] names = [R_SCALAR, R_MTE1, R_MTE2, R_MTE3, R_CUBE, R_FIX, R_VECTOR]
        cdef int[PIPES] cube_slots = [0, 1, 2, -1, 3, 4, -1]
        cdef int[PIPES] vector_slots = [0, -1, 1, 2, -1, -1, 3]
        m.per_core = 1 + m.spec.vectors
        m.sub_count = m.spec.cores * m.per_core
        m.subs = <Sub*> calloc(m.sub_count, sizeof(Sub))
        if m.subs == NULL:
            raise MemoryError
        for i in range(m.sub_count):
            s = &m.subs[i]
            s.core, number, s.block = i // m.per_core, i % m.per_core, -1
            s.vector, s.number = number > 0, max(number - 1, 0)
            s.first_row, s.end_row = sections[1 if s.vector else 0]
            for j in range(PIPES):
                p = &s.pipes[j]
                p.slot = 5 + 4 * s.number + vector_slots[j] if s.vector else cube_slots[j]
                p.name = p.tail = names[j]
                p.capacity = max(m.spec.queue[j], 1)
                p.wake = p.current = p.reason = p.told = -1
                p.place = i * PIPES + j
                if p.slot < 0 or (s.vector and vector_slots[j] < 0):
                    p.slot = SLOTS - 1
                if p.slot == SLOTS - 1 or s.first_row < 0:  # it will have nothing to do
                    continue
                p.ring = <Pending*> calloc(p.capacity, sizeof(Pending))
                p.operands = <int64_t*> calloc(p.capacity * CAPTURED, sizeof(int64_t))
                p.clocks = <Clock*> calloc(p.capacity, sizeof(Clock))
                p.log = <int64_t*> calloc(SEGMENTS, sizeof(int64_t))
                p.signals = <Signal*> calloc(SIGNALS, sizeof(Signal))
                if (p.ring == NULL or p.operands == NULL or p.clocks == NULL or p.log == NULL
                        or p.signals == NULL):
                    raise MemoryError
                for k in range(p.capacity):
                    p.ring[k].x = p.operands + k * CAPTURED
            for j in range(SPACES):
                self._space(s, j)

    cdef _space(self, Sub* s, int j):
        """The local memories that a sub-core of this kind has."""
        cdef Machine* m = &self.m
        if j == SPACE_GM or (s.vector != 0) != (j == SPACE_UB):
            return
        s.spaces[j].size = m.spec.sizes[j]
        if not accesses_grow(&s.accesses[j]):
            raise MemoryError
        if m.values and s.first_row >= 0:
            s.spaces[j].data = <uint8_t*> calloc(s.spaces[j].size + 64, 1)
            s.spaces[j].valid = <uint8_t*> calloc(s.spaces[j].size, 1)
            if s.spaces[j].data == NULL or s.spaces[j].valid == NULL:
                raise MemoryError
            if j != SPACE_UB:  # its lanes are noted one by one
                s.spaces[j].whole = <uint8_t*> calloc(s.spaces[j].size // LINE + 1, 1)
                if s.spaces[j].whole == NULL:
                    raise MemoryError

    def __dealloc__(self):
        cdef Machine* m = &self.m
        cdef int i, j
        if m.subs != NULL:
            for i in range(m.sub_count):
                for j in range(PIPES):
                    free(m.subs[i].pipes[j].ring)
                    free(m.subs[i].pipes[j].operands)
                    free(m.subs[i].pipes[j].clocks)
                    free(m.subs[i].pipes[j].log)
                    free(m.subs[i].pipes[j].signals)
                for j in range(SPACES):
                    free(m.subs[i].spaces[j].data)
                    free(m.subs[i].spaces[j].valid)
                    free(m.subs[i].spaces[j].whole)
                    free(m.subs[i].accesses[j].items)
                    free(m.subs[i].accesses[j].lo)
                    free(m.subs[i].accesses[j].hi)
                    free(m.subs[i].accesses[j].number)
                free_simt(m.subs[i].simt, m.subs[i].spaces[SPACE_UB].size)
        for i in range(m.tensor_count if m.tensors != NULL else 0):
            free(m.tensors[i].last_write)
            free(m.tensors[i].last_read)
            free(m.tensors[i].blocks_written)
            free(m.tensors[i].blocks_read)
            free(m.tensors[i].mixed)
            free(m.tensors[i].whole)
            free_stamps(m.tensors[i].simt, m.tensors[i].size)
        free(m.subs)
        free(m.uses)
        free(m.scalars)
        free(m.stalls)
        free(m.tensor_of)
        free(m.calendar.items)
        free(m.intervals)
        free(m.records)
        free(m.simd)
        free(m.called)
        free(m.tensors)
        free(m.functions)
        free(m.watch.items)
        memory_free(m.memory)
        free(m.agenda.events)
        free(m.agenda.far)
        for i in range(m.spec.cores if m.tapes != NULL else 0):
            free(m.tapes[i].items)
        for i in range(m.worker_count if m.workers != NULL else 0):
            free_scratch(&m.workers[i].scratch)
            free(m.workers[i].row)
            free(m.workers[i].codes)
        free(m.tapes)
        free(m.workers)

    def _work(self, int threads):
        """Tapes of the cores, and what each host thread needs to work them off."""
        cdef Machine* m = &self.m
        cdef int64_t size = m.spec.sizes[SPACE_L0C] // 4 + 64
        cdef int i
        m.tapes = <Tape*> calloc(m.spec.cores, sizeof(Tape))
        m.workers = <Worker*> calloc(threads, sizeof(Worker))
        if m.tapes == NULL or m.workers == NULL:
            raise MemoryError
        m.worker_count = threads
        m.segment = m.first_segment = 1
        for i in range(threads):
            m.workers[i].row = <float*> calloc(size, sizeof(float))
            m.workers[i].codes = <uint8_t*> calloc(size, sizeof(float))
            if m.workers[i].row == NULL or m.workers[i].codes == NULL:
                raise MemoryError

    def run(self):
        """Run to the end or to the first fault; the GIL is free meanwhile."""
        cdef Machine* m = &self.m
        while True:
            with nogil:
                run_machine(m)
            if m.pending and not m.stop:
                self._catch_up()
            if not m.pause or m.stop:
                return
            m.pause = 0

    def _catch_up(self):
        """Work off the tapes on all threads, this one among them."""
        cdef Machine* m = &self.m
        cdef int i
        m.taken = m.done = 0
        others = [Thread(target=self._help, args=(i,)) for i in range(1, m.worker_count)]
        for thread in others:
            thread.start()
        self._help(0)
        for thread in others:
            thread.join()
        with nogil:
            forget(m)
        if self.sums is not None and self.sums.error is not None:
            raise self.sums.error
        for i in range(m.worker_count):
            if m.workers[i].failed:
                raise MemoryError

    def _help(self, int number):
        with nogil:
            work_along(&self.m, &self.m.workers[number])

    def watch(self, int first, int last, int64_t start, int64_t stop):
        """Before a run: keep what sub-cores first to last do in cycles start to stop - 1."""
        cdef Machine* m = &self.m
        cdef int i, j
        m.watch.start, m.watch.stop = start, stop
        for i in range(max(first, 0), min(last + 1, m.sub_count)):
            for j in range(PIPES):
                m.subs[i].pipes[j].watch = &m.watch

    def spans(self):
        """[n, 6]: sub-core, pipe, row, reason, first cycle, cycle after the last."""
        cdef Machine* m = &self.m
        cdef int64_t[:, ::1] found
        cdef int64_t i
        if m.watch.failed:
            raise MemoryError
        made = np.empty((m.watch.count, 6), np.int64)
        found = made
        for i in range(m.watch.count):
            found[i, 0] = m.watch.items[i].place // PIPES
            found[i, 1] = m.watch.items[i].place % PIPES
            found[i, 2] = m.watch.items[i].row
            found[i, 3] = m.watch.items[i].reason
            found[i, 4] = m.watch.items[i].start
            found[i, 5] = m.watch.items[i].end
        return made

    def faults(self):
        """(kind, row, other row, sub-core, cycle, a, b, c, count, thread) of every fault."""
        cdef int i
        cdef Fault* f
        found = []
        for i in range(self.m.fault_count):
            f = &self.m.faults[i]
            found.append((f.kind, f.op, f.other, f.sub, f.time, f.a, f.b, f.c, f.count, f.thread))
        return found

    def accounts(self):
        """[sub-cores, pipes, reasons]: cycles; busy and idle stand in their own columns."""
        cdef int i, j, k
        cdef Pipe* p
        found = np.zeros((self.m.sub_count, PIPES, REASONS), np.int64)
        cdef int64_t[:, :, ::1] view = found
        for i in range(self.m.sub_count):
            for j in range(PIPES):
                p = &self.m.subs[i].pipes[j]
                for k in range(REASONS):
                    view[i, j, k] = p.waits[k]
                view[i, j, R_BUSY] = p.busy
                view[i, j, R_IDLE] = p.idle
        return found

    def uses(self):
        """[rows of the program, 4]: issued, busy cycles, first and last cycle of issue."""
        cdef int64_t i, took
        found = np.zeros((self.m.op_count, 4), np.int64)
        cdef int64_t[:, ::1] view = found
        for i in range(self.m.op_count):
            view[i, 0], view[i, 1] = self.m.uses[i].issued, self.m.uses[i].busy
            if self.m.scalars[i].code:
                took = self.m.scalars[i].latency if self.m.scalars[i].code <= OP_CMP else 1
                view[i, 1] = self.m.uses[i].issued * took
            view[i, 2], view[i, 3] = self.m.uses[i].first, self.m.uses[i].last
        return found

    def simt(self):
        """[sub-cores, reasons]: cycles of its SIMT schedulers inside functions."""
        cdef int i, j
        found = np.zeros((self.m.sub_count, WHYS), np.int64)
        cdef int64_t[:, ::1] view = found
        for i in range(self.m.sub_count):
            for j in range(WHYS if self.m.subs[i].simt != NULL else 0):
                view[i, j] = self.m.subs[i].simt.whys[j]
        return found

    def stalls(self):
        """[rows of the program, reasons]: cycles that warps waited at a word of a SIMT function."""
        cdef int64_t i, j
        found = np.zeros((self.m.op_count, WHYS), np.int64)
        cdef int64_t[:, ::1] view = found
        for i in range(self.m.op_count if self.m.stalls != NULL else 0):
            for j in range(WHYS):
                view[i, j] = self.m.stalls[i * WHYS + j]
        return found

    def totals(self):
        """Cycles and traffic of the run."""
        cdef Machine* m = &self.m
        return {
            "cycles": m.end, "steps": m.steps, "l2_read": m.memory.l2_read,
            "l2_write": m.memory.l2_write, "hbm_read": m.memory.hbm_read,
            "hbm_write": m.memory.hbm_write, "l0_read": m.l0_read,
        }
