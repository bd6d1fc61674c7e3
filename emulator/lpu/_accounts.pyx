"""Where the cycles went: from the log of a run to waits per instruction and per unit.

For an issue at cycle t whose queue was free from p on, the gap [p, t) belongs to the last thing
that became ready; what is left is `schedule`. An issue that could have come earlier, with everything
it needs and everything before it in its queue, has *slack*; whoever waited for it counts it as if it
had come then. So a wait blames its cause, and a program that merely starts late says `schedule`.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

import numpy as np

include "_opcodes.pxi"
include "_rows.pxi"

REASONS = ("operand", "stream", "bank", "unit", "weights", "sync", "schedule")
include "_reasons.pxi"


def by_place(const ValueRow[::1] values):
    """Numbers of the values by stream, then diagonal."""
    cdef Py_ssize_t n = values.shape[0], i
    cdef int64_t[65] start
    cdef int k, sorted_
    order = np.empty(n, np.int64)
    cdef int64_t[::1] at = order
    memset(start, 0, sizeof(start))
    for i in range(n):
        start[values[i].stream + 1] += 1
    for k in range(64):
        start[k + 1] += start[k]
    for i in range(n):
        k = values[i].stream
        at[start[k]] = i
        start[k] += 1
    i = 0
    for k in range(64):  # start[k] is now where stream k ends; time order is often the order wanted
        sorted_ = 1
        i = start[k - 1] if k else 0
        part = order[i:start[k]]
        while i + 1 < start[k] and sorted_:
            sorted_ = values[at[i]].diagonal <= values[at[i + 1]].diagonal
            i += 1
        if not sorted_:
            part[:] = part[np.argsort(np.asarray(values)["diagonal"][part], kind="stable")]
    return order


cdef inline int first_column(const ValueRow* v) noexcept nogil:
    return v.column + 1 if v.last > v.column else v.last


cdef inline int last_column(const ValueRow* v) noexcept nogil:
    """Before the first one, for a value that no stream operand takes."""
    return v.last if v.last > v.column else v.column - 1


cdef void stream_ready(
        const ValueRow[::1] values, const int64_t[::1] order, const IssueRow[::1] issues,
        int64_t[::1] taken, int[::1] taker, int64_t[::1] ready, int[::1] blocker) noexcept nogil:
    """`ready[issue]`: the first cycle at which its values would have had free registers.

    A value occupies its diagonal from the column after its producer's to its last reader's, for at
    its producer's column another value may still be read as it arrives. `order` sorts the
    values by stream and diagonal. Going back in time, an issue is stopped by the nearest earlier
    diagonal on which another value, that of `blocker[issue]`, occupied a part of that stretch.
    `taken` and `taker` are scratch, one per column.
    """
    cdef Py_ssize_t n = order.shape[0], i = 0, j
    cdef int c, by, before = -1
    cdef int64_t found, at, diagonal
    cdef ValueRow v
    while i < n:
        diagonal = values[order[i]].diagonal
        if values[order[i]].stream != before:
            before = values[order[i]].stream
            for c in range(taken.shape[0]):
                taken[c] = NEVER
        j = i
        while j < n:
            v = values[order[j]]
            if v.stream != before or v.diagonal != diagonal:
                break
            found, by = NEVER, -1
            for c in range(first_column(&v), last_column(&v) + 1):
                if taken[c] > found:
                    found, by = taken[c], taker[c]
            at = issues[v.issue].cycle - (diagonal - found) + 1
            if by >= 0 and at > ready[v.issue]:
                ready[v.issue], blocker[v.issue] = at, by
            j += 1
        while i < j:
            v = values[order[i]]
            for c in range(first_column(&v), last_column(&v) + 1):
                taken[c], taker[c] = diagonal, v.issue
            i += 1


cdef void by_consumer(const UseRow[::1] uses, int[::1] producer, int64_t[::1] first) noexcept nogil:
    """Operands of issue i: producer[first[i]:first[i + 1]], complemented where read from SRAM."""
    cdef Py_ssize_t i, n = first.shape[0] - 1
    cdef int64_t at
    for i in range(uses.shape[0]):
        first[uses[i].consumer + 1] += 1
    for i in range(n):
        first[i + 1] += first[i]
    for i in range(uses.shape[0]):
        at = first[uses[i].consumer]
        producer[at] = ~uses[i].producer if uses[i].memory else uses[i].producer
        first[uses[i].consumer] += 1
    for i in range(n, 0, -1):
        first[i] = first[i - 1]
    first[0] = 0


# The last use of something, and by which issue.
cdef struct Last:
    int64_t cycle
    Py_ssize_t issue


cdef struct Plane:
    Last used[2]         # end of the last use of the weight and the mm queue
    int queue[2]         # by which queue
    Last installed, before, loaded
    int64_t free_from    # of its mm side, the pair's products included


# The latest of the things that an issue needed.
cdef struct Ready:
    int64_t cycle
    int reason


cdef inline void later(Ready* r, int64_t cycle, int reason) noexcept nogil:
    if cycle > r.cycle:
        r.cycle, r.reason = cycle, reason


cdef class Accounts:
    """Sums of a run. `cycles` decides idle times; see `Result` for the meaning of each."""

    cdef readonly object op_issued, op_busy, op_waits, op_first, op_last
    cdef readonly object unit_busy, unit_waits, unit_idle
    # the log
    cdef const Op[::1] op
    cdef const IssueRow[::1] issue
    cdef int[::1] producer, blocker
    cdef int64_t[::1] first_use, stream_free
    # sums
    cdef int64_t[::1] issued, busy, first, last, in_unit
    cdef int64_t[:, ::1] waits, waits_in_unit
    # along the way
    cdef int64_t[::1] slack, free_from, earliest, woken
    cdef const int[::1] unit_of, unit_of_plane
    cdef Plane* plane
    cdef Last* access    # [queue][bank]
    cdef int first_mxm, planes, iw_latency

    def __init__(self, ops, issues, uses, values, syncs, *, int64_t cycles, queue_unit, unit_count,
                 plane_unit, int first_mxm, int first_mem_end, int columns, int iw_latency):
        """`queue_unit[q]` is the unit of queue q, -1 = none; `plane_unit[p]` that of plane p."""
        cdef Py_ssize_t n = len(issues)
        self.op, self.issue = ops, issues
        self.producer = np.empty(len(uses), np.int32)
        self.first_use = np.zeros(n + 1, np.int64)
        by_consumer(uses, self.producer, self.first_use)
        self.stream_free, self.blocker = np.zeros(n, np.int64), np.zeros(n, np.int32)
        stream_ready(values, by_place(values), self.issue, np.empty(columns, np.int64),
                     np.empty(columns, np.int32), self.stream_free, self.blocker)
        self.first_mxm, self.iw_latency, self.planes = first_mxm, iw_latency, len(plane_unit)
        self.unit_of = np.asarray(queue_unit, np.int32)
        self.unit_of_plane = np.asarray(plane_unit, np.int32)
        self.begin(n, len(ops), len(queue_unit), len(unit_count), first_mem_end)
        self.walk(np.ascontiguousarray(syncs["resumed"]))
        self.unit_idle = np.asarray(unit_count, np.int64) * cycles
        self.unit_idle -= self.unit_busy + self.unit_waits.sum(1)

    def __dealloc__(self):
        free(self.plane)
        free(self.access)

    cdef begin(self, Py_ssize_t n, Py_ssize_t ops, int queues, int units, int ports):
        """Everything at zero, nothing used before."""
        cdef int i
        self.issued = self.op_issued = np.zeros(ops, np.int64)
        self.busy = self.op_busy = np.zeros(ops, np.int64)
        self.first = self.op_first = np.full(ops, -1, np.int64)
        self.last = self.op_last = np.full(ops, -1, np.int64)
        self.waits = self.op_waits = np.zeros((ops, REASON_COUNT), np.int64)
        self.in_unit = self.unit_busy = np.zeros(units, np.int64)
        self.waits_in_unit = self.unit_waits = np.zeros((units, REASON_COUNT), np.int64)
        self.slack = np.zeros(n, np.int64)
        self.free_from, self.earliest = np.zeros(queues, np.int64), np.zeros(queues, np.int64)
        self.woken = np.full(queues, -1, np.int64)
        self.plane = <Plane*> calloc(self.planes, sizeof(Plane))
        self.access = <Last*> calloc(2 * ports, sizeof(Last))
        if self.plane == NULL or self.access == NULL:
            raise MemoryError
        for i in range(2 * ports):
            self.access[i].cycle = NEVER
        for i in range(self.planes):
            self.plane[i].installed.cycle = self.plane[i].before.cycle = NEVER
            self.plane[i].loaded.cycle = NEVER
            self.plane[i].queue[0] = self.plane[i].queue[1] = -1

    cdef int64_t released(self, Last* last) noexcept nogil:
        """When the cycle of `last` would have been, had its issue come as early as it could."""
        return last.cycle - self.slack[last.issue]

    cdef void operands(self, Py_ssize_t i, Ready* r) noexcept nogil:
        """Operands: from streams and chains at the cycle of use, from SRAM when the word landed."""
        cdef Py_ssize_t k, j
        for k in range(self.first_use[i], self.first_use[i + 1]):
            j = self.producer[k]
            if j >= 0:
                later(r, self.issue[i].cycle - self.slack[j], OPERAND)
            else:
                j = ~j
                later(r, self.issue[j].cycle + self.op[self.issue[j].op].latency + 1
                      - self.slack[j], OPERAND)

    cdef void bank(self, Py_ssize_t i, int queue, Ready* r) noexcept nogil:
        """The other port of a slice is the queue next to it: queue ^ 1."""
        cdef int b
        for b in range(2):
            if self.issue[i].banks >> b & 1:
                later(r, self.released(&self.access[2 * (queue ^ 1) + b]) + 1, BANK)
                self.access[2 * queue + b] = Last(self.issue[i].cycle, i)

    cdef void matrix(self, Py_ssize_t i, const Op* o, Ready* r) noexcept nogil:
        """The other plane of a pair; weights for a product, a load for an install."""
        cdef Plane* p = &self.plane[(o.queue - self.first_mxm) // 2]
        cdef int64_t t = self.issue[i].cycle
        cdef int k, mm = o.code == OP_MM
        for k in range(o.planes):
            if p[k].queue[mm] >= 0 and p[k].queue[mm] != o.queue:
                later(r, self.released(&p[k].used[mm]), UNIT)
            p[k].queue[mm], p[k].used[mm] = o.queue, Last(t + o.hold, i)
        if mm:
            later(r, self.released(&p.before if p.installed.cycle == t else &p.installed)
                  + self.iw_latency, WEIGHTS)
        elif o.code == OP_IW:
            later(r, self.released(&p.loaded), WEIGHTS)
            p.before, p.installed = p.installed, Last(t, i)
        else:
            p.loaded = Last(t + o.skew + o.hold + o.latency, i)

    cdef void charge(self, int unit, int64_t start, int64_t t, Ready* r) noexcept nogil:
        """The gap start..t of a unit: to the reason up to where it became ready, then schedule."""
        cdef int64_t gap = max(r.cycle, start) - start
        self.waits_in_unit[unit, r.reason] += gap
        self.waits_in_unit[unit, SCHEDULE] += t - start - gap

    cdef void charge_product(self, const Op* o, int64_t t, Ready* r) noexcept nogil:
        """Every plane of a pair. Both told to work at once (a hazard) count a cycle once."""
        cdef Plane* p = &self.plane[(o.queue - self.first_mxm) // 2]
        cdef int k, unit
        for k in range(o.planes):
            unit = self.unit_of_plane[(o.queue - self.first_mxm) // 2 + k]
            if t > p[k].free_from:
                self.charge(unit, p[k].free_from, t, r)
                p[k].free_from = t
            if t + o.hold > p[k].free_from:
                self.in_unit[unit] += t + o.hold - p[k].free_from
                p[k].free_from = t + o.hold

    cdef void walk(self, const int64_t[::1] resumed) noexcept:
        """All issues in order of time."""
        cdef Py_ssize_t i, sync = 0
        cdef const Op* o
        cdef int n, q, unit
        cdef int64_t t, gap
        cdef Ready r
        with nogil:
            for i in range(self.issue.shape[0]):
                n, t = self.issue[i].op, self.issue[i].cycle
                o = &self.op[n]
                q = o.queue
                self.issued[n] += 1
                if self.first[n] < 0:
                    self.first[n] = t
                self.last[n] = t
                if o.code == OP_SYNC:
                    self.woken[q] = resumed[sync]
                    sync += 1
                    continue
                r.cycle, r.reason = 0, SCHEDULE
                self.operands(i, &r)
                if self.stream_free[i]:
                    later(&r, self.stream_free[i] - self.slack[self.blocker[i]], STREAM)
                self.bank(i, q, &r)
                if o.code == OP_MM or o.code == OP_LW or o.code == OP_LWS or o.code == OP_IW:
                    self.matrix(i, o, &r)
                later(&r, self.woken[q], SYNC)
                self.woken[q] = -1
                r.cycle = min(r.cycle, t)
                self.slack[i] = t - max(r.cycle, self.earliest[q])
                self.earliest[q] = t - self.slack[i] + o.hold
                gap = max(r.cycle, self.free_from[q]) - self.free_from[q]
                self.waits[n, r.reason] += gap
                self.waits[n, SCHEDULE] += t - self.free_from[q] - gap
                self.busy[n] += o.hold
                unit = self.unit_of[q]
                if o.code == OP_MM:
                    self.charge_product(o, t, &r)
                elif unit >= 0 and not self.first_mxm <= q < self.first_mxm + 2 * self.planes:
                    self.in_unit[unit] += o.hold
                    self.charge(unit, self.free_from[q], t, &r)
                self.free_from[q] = t + o.hold
