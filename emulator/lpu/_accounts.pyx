"""Where the cycles went: from the log of a run to waits per instruction and per unit.

For an issue at cycle t whose queue was free from p on, the gap [p, t) belongs to the last thing
that became ready; what is left is `schedule`. An issue that could have come earlier has *slack*, and
whoever waited for it counts it as if it had come then: so a wait blames its cause.
"""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free, malloc

import numpy as np

include "_opcodes.pxi"

# In this order ties go to the first.
REASONS = ("operand", "stream", "bank", "unit", "weights", "sync", "schedule")
cdef enum:
    OPERAND, STREAM, BANK, UNIT, WEIGHTS, SYNC, SCHEDULE, KINDS

cdef int64_t NEVER = -(<int64_t> 1 << 60)


def stream_ready(const int64_t[::1] diagonal, const int[::1] issue, const short[::1] stream,
                 const short[::1] column, const short[::1] last, const int64_t[::1] order,
                 const int64_t[::1] cycle, int columns, int64_t[::1] ready):
    """Raise `ready[issue]` to the first cycle at which its values would have had free registers.

    A value occupies its diagonal from the column that drove it to its last reader. `order` sorts the
    values by stream and diagonal. Going back in time, an issue is stopped by the nearest earlier
    diagonal on which another value occupied a part of that stretch.
    """
    cdef Py_ssize_t n = order.shape[0], i = 0, j, k, v
    cdef int c, low, high, before = -1
    cdef int64_t found, at
    cdef int64_t[::1] taken = np.empty(columns, np.int64)
    with nogil:
        while i < n:
            v = order[i]
            if stream[v] != before:
                before = stream[v]
                for c in range(columns):
                    taken[c] = NEVER
            j = i
            while j < n and stream[order[j]] == before and diagonal[order[j]] == diagonal[v]:
                k = order[j]
                low, high = min(column[k], last[k]), max(column[k], last[k])
                found = NEVER
                for c in range(low, high + 1):
                    if taken[c] > found:
                        found = taken[c]
                if found > NEVER:
                    at = cycle[issue[k]] - (diagonal[k] - found) + 1
                    if at > ready[issue[k]]:
                        ready[issue[k]] = at
                j += 1
            while i < j:
                k = order[i]
                low, high = min(column[k], last[k]), max(column[k], last[k])
                for c in range(low, high + 1):
                    taken[c] = diagonal[k]
                i += 1


cdef struct Plane:
    int64_t end[2]       # of the last use of the weight and the mm queue
    int queue[2]         # by which queue
    int64_t installed, before
    int64_t loaded


cdef class Accounts:
    """Sums of a run. `cycles` decides idle times; see `Result` for the meaning of each."""

    cdef readonly object op_issued, op_busy, op_waits, op_first, op_last
    cdef readonly object unit_busy, unit_waits, unit_idle

    def __init__(self, ops, issues, uses, values, syncs, *, int64_t cycles, queue_unit, unit_count,
                 plane_unit, int first_mxm, int first_mem_end, int columns, int iw_latency):
        """`queue_unit[q]` is the unit of queue q, -1 = none; `plane_unit[p]` that of plane p."""
        cdef Py_ssize_t n = len(issues), n_ops = len(ops), n_units = len(unit_count)
        cdef const int64_t[::1] cycle = np.ascontiguousarray(issues["cycle"])
        cdef const int[::1] op_of = np.ascontiguousarray(issues["op"])
        cdef const int[::1] banks = np.ascontiguousarray(issues["banks"])
        cdef const int[::1] code = np.ascontiguousarray(ops["code"])
        cdef const int[::1] queue = np.ascontiguousarray(ops["queue"])
        cdef const int[::1] hold = np.ascontiguousarray(ops["hold"])
        cdef const int[::1] skew = np.ascontiguousarray(ops["skew"])
        cdef const int[::1] latency = np.ascontiguousarray(ops["latency"])
        cdef const int[::1] planes = np.ascontiguousarray(ops["planes"])
        cdef const int64_t[::1] resumed = np.ascontiguousarray(syncs["resumed"])
        # operands by consumer
        order = np.argsort(uses["consumer"], kind="stable")
        cdef const int[::1] producer = np.ascontiguousarray(uses["producer"][order])
        cdef const int[::1] memory = np.ascontiguousarray(uses["memory"][order])
        cdef const int64_t[::1] first_use = np.searchsorted(
            uses["consumer"][order], np.arange(n + 1)).astype(np.int64)
        free_at = np.zeros(n, np.int64)
        cdef int64_t[::1] streams = free_at
        by_place = np.lexsort((values["diagonal"], values["stream"])).astype(np.int64)
        stream_ready(
            np.ascontiguousarray(values["diagonal"]), np.ascontiguousarray(values["issue"]),
            np.ascontiguousarray(values["stream"]), np.ascontiguousarray(values["column"]),
            np.ascontiguousarray(values["last"]), by_place, cycle, columns, free_at)

        cdef int n_queues = len(queue_unit), n_planes = len(plane_unit)
        cdef const int[::1] unit_of = np.asarray(queue_unit, np.int32)
        cdef const int[::1] plane_of = np.asarray(plane_unit, np.int32)
        self.op_issued, self.op_busy = np.zeros(n_ops, np.int64), np.zeros(n_ops, np.int64)
        self.op_first, self.op_last = np.full(n_ops, -1, np.int64), np.full(n_ops, -1, np.int64)
        self.op_waits = np.zeros((n_ops, KINDS), np.int64)
        self.unit_busy = np.zeros(n_units, np.int64)
        self.unit_waits = np.zeros((n_units, KINDS), np.int64)
        cdef int64_t[::1] issued = self.op_issued, busy = self.op_busy
        cdef int64_t[::1] first = self.op_first, last = self.op_last, ubusy = self.unit_busy
        cdef int64_t[:, ::1] waits = self.op_waits, uwaits = self.unit_waits
        cdef int64_t[::1] slack = np.zeros(n, np.int64)
        cdef int64_t[::1] free_from = np.zeros(n_queues, np.int64)
        cdef int64_t[::1] earliest = np.zeros(n_queues, np.int64)
        cdef int64_t[::1] woken = np.full(n_queues, -1, np.int64)
        cdef int64_t[::1] mirror = np.zeros(n_planes, np.int64)  # free_from of a plane's mm side
        cdef int64_t[:, :, ::1] access = np.full((first_mem_end // 2, 2, 2), NEVER, np.int64)
        cdef Plane* plane = <Plane*> calloc(n_planes, sizeof(Plane))
        if plane == NULL:
            raise MemoryError
        cdef Py_ssize_t i, k, sync = 0
        cdef int o, q, c, reason, b, p, side, mm
        cdef int64_t t, at, r, gap, ready
        for p in range(n_planes):
            plane[p].installed = plane[p].before = plane[p].loaded = NEVER
            plane[p].queue[0] = plane[p].queue[1] = -1
        with nogil:
            for i in range(n):
                o, t = op_of[i], cycle[i]
                q, c = queue[o], code[o]
                issued[o] += 1
                if first[o] < 0:
                    first[o] = t
                last[o] = t
                if c == OP_SYNC:
                    woken[q] = resumed[sync]
                    sync += 1
                    continue
                r, reason = 0, SCHEDULE
                for k in range(first_use[i], first_use[i + 1]):
                    at = producer[k]
                    if memory[k]:
                        ready = cycle[at] + latency[op_of[at]] + 1 - slack[at]
                    else:
                        ready = t - slack[at]
                    if ready > r:
                        r, reason = ready, OPERAND
                if streams[i] > r:
                    r, reason = streams[i], STREAM
                if q < first_mem_end and banks[i]:
                    side = q & 1
                    for b in range(2):
                        if banks[i] >> b & 1:
                            if access[q >> 1, 1 - side, b] + 1 > r:
                                r, reason = access[q >> 1, 1 - side, b] + 1, BANK
                            access[q >> 1, side, b] = t
                p = -1
                if c == OP_MM or c == OP_LW or c == OP_LWS or c == OP_IW:
                    p, mm = (q - first_mxm) // 2, c == OP_MM
                    for k in range(planes[o]):
                        if plane[p + k].queue[mm] >= 0 and plane[p + k].queue[mm] != q:
                            if plane[p + k].end[mm] > r:
                                r, reason = plane[p + k].end[mm], UNIT
                        plane[p + k].queue[mm], plane[p + k].end[mm] = q, t + hold[o]
                    if mm:
                        at = plane[p].before if plane[p].installed == t else plane[p].installed
                        if at + iw_latency > r:
                            r, reason = at + iw_latency, WEIGHTS
                    elif c == OP_IW:
                        if plane[p].loaded > r:
                            r, reason = plane[p].loaded, WEIGHTS
                        plane[p].before, plane[p].installed = plane[p].installed, t
                    else:
                        plane[p].loaded = t + skew[o] + hold[o] + latency[o]
                if woken[q] > r:
                    r, reason = woken[q], SYNC
                woken[q] = -1
                if r > t:
                    r = t
                slack[i] = t - max(r, earliest[q])
                earliest[q] = t - slack[i] + hold[o]
                gap = max(r, free_from[q]) - free_from[q]
                waits[o, reason] += gap
                waits[o, SCHEDULE] += t - free_from[q] - gap
                busy[o] += hold[o]
                if unit_of[q] >= 0 and c != OP_MM:
                    ubusy[unit_of[q]] += hold[o]
                    uwaits[unit_of[q], reason] += gap
                    uwaits[unit_of[q], SCHEDULE] += t - free_from[q] - gap
                elif c == OP_MM:  # every plane of a pair
                    for k in range(planes[o]):
                        gap = max(r, mirror[p + k]) - mirror[p + k]
                        ubusy[plane_of[p + k]] += hold[o]
                        uwaits[plane_of[p + k], reason] += gap
                        uwaits[plane_of[p + k], SCHEDULE] += t - mirror[p + k] - gap
                        mirror[p + k] = t + hold[o]
                free_from[q] = t + hold[o]
        free(plane)
        self.unit_idle = np.asarray(unit_count, np.int64) * cycles - self.unit_busy - self.unit_waits.sum(1)
