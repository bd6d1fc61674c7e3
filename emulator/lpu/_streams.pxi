# Stream registers. A value that moves one column per cycle keeps its diagonal: cycle - column
# eastward, cycle + column westward. It stays in one slot, and the cycle tells where it is.


cdef inline int slot_number(State* s, int stream, int column) noexcept nogil:
    """The slot that is at `column` now; `stream` is raw: bit 5 set for west."""
    cdef int at = s.phase
    if stream & 32:
        at += column
        if at >= s.columns:
            at -= s.columns
    else:
        at -= column
        if at < 0:
            at += s.columns
    return (stream & 63) * s.columns + at


cdef inline int64_t diagonal_of(State* s, int stream, int column) noexcept nogil:
    return s.now + column if stream & 32 else s.now - column


cdef inline uint8_t* slot_bytes(State* s, int slot) noexcept nogil:
    return s.slot_data + <int64_t> slot * s.pitch


cdef const uint8_t* take(
        State* s, int op, int issue, int stream, int expect, int k, uint64_t* poison) noexcept nogil:
    """Stream `k` of an operand whose first stream is `stream`, as it arrives at the op's column.

    Returns its bytes (zeros where there is none); adds its poison to `poison`.
    """
    cdef int column = s.ops[op].column, at
    cdef Slot* slot
    stream += k
    at = slot_number(s, stream, column)
    slot = &s.slots[at]
    if slot.issue < 0 or slot.diagonal != diagonal_of(s, stream, column):
        hazard(s, OPERAND_MISSING, op, -1, stream, column, 0, 0)
        return s.zeros
    slot.seen = 1
    poison[0] |= slot.poison
    s.stream_taken += 1
    if expect >= 0 and not expected(s, expect, k, slot.op):
        hazard(s, OTHER_PRODUCER, op, slot.op, stream, column, expect, k)
    log_use(s, issue, slot.issue, 0)
    (<ValueRow*> s.log.values.data)[slot.value].last = column
    return slot_bytes(s, at)


cdef void check_poison(State* s, int op, int stream, uint64_t poison) noexcept nogil:
    if poison:
        hazard(s, POISON, op, -1, stream, s.ops[op].column, <int64_t> poison, 0)


cdef uint64_t first_superlanes(State* s, int lanes) noexcept nogil:
    """Bits of the superlanes that hold lanes 0 .. lanes-1."""
    cdef int n = (lanes + s.block - 1) // s.block
    return s.full if n >= 64 else s.full & ((<uint64_t> 1 << n) - 1)


cdef void unconsumed(State* s, Slot* slot, int stream) noexcept nogil:
    """A value went over the edge unread; the warning belongs to the cycle that drove it."""
    cdef int64_t now = s.now
    s.now = slot.cycle
    hazard(s, UNCONSUMED, slot.op, -1, stream, slot.column, slot.cycle, 0)
    s.now = now


cdef int drive_one(State* s, int op, int issue, int stream, uint64_t poison, int seen) noexcept nogil:
    """Put a value on one stream at the op's column; the slot to fill, -1 if a higher queue has it."""
    cdef int column = s.ops[op].column, at = slot_number(s, stream, column)
    cdef int64_t diagonal = diagonal_of(s, stream, column)
    cdef Slot* slot = &s.slots[at]
    s.stream_driven += 1
    if slot.issue >= 0 and slot.diagonal == diagonal and slot.cycle == s.now:
        hazard(s, REGISTER_COLLISION, op, slot.op, stream, column, 0, 0)
        if s.ops[op].queue < s.ops[slot.op].queue:
            return -1
    elif slot.issue >= 0 and not slot.seen:
        if slot.diagonal == diagonal:
            hazard(s, OVERWRITTEN, slot.op, op, stream, column, slot.cycle, slot.column)
        else:
            unconsumed(s, slot, stream)
    slot.diagonal, slot.cycle, slot.issue, slot.op = diagonal, s.now, issue, op
    slot.seen, slot.column, slot.poison = seen, column, poison
    slot.value = log_value(s, issue, stream, diagonal, column)
    return at


cdef void drive(State* s, Pending* p) noexcept nogil:
    """A result reaches its streams: `dst` of the op plus `target`. Only chained: it was its last cycle."""
    cdef int k, at
    cdef uint8_t* planes[4]  # of a lost collision: scratch
    cdef const Op* o = &s.ops[p.op]
    cdef int stream = (o.dst & 63) + p.target
    cdef const uint8_t* data = buffer_of(s, p.buf) if p.buf >= 0 else s.zeros
    if OP_ADD <= o.code <= OP_RUNSUM and o.dst >> 6 == KIND_NONE:
        if not p.seen:
            hazard(s, UNCONSUMED, p.op, -1, 64 + o.queue - s.first_vxm, o.column, s.now, 0)
        return
    for k in range(p.width):
        at = drive_one(s, p.op, p.issue, stream + k, p.poison, p.seen)
        planes[k] = slot_bytes(s, at) if at >= 0 else s.result
    if not s.values:
        return
    if p.layout == CODES and p.width == 4:
        split_4(planes[0], planes[1], planes[2], planes[3], <const uint32_t*> data, s.lanes)
    elif p.layout == CODES and p.width == 2:
        split_2(planes[0], planes[1], <const uint16_t*> data, s.lanes)
    else:
        for k in range(p.width):
            memcpy(planes[k], data + k * s.lanes, s.lanes)


cdef void unread_at_end(State* s) noexcept nogil:
    cdef int i
    cdef Slot* slot
    for i in range(64 * s.columns):
        slot = &s.slots[i]
        if slot.issue >= 0 and not slot.seen:
            unconsumed(s, slot, i // s.columns)


cdef Pending* result_new(State* s, int op, int issue, int64_t cycle, int width, int layout) noexcept nogil:
    """A result that leaves at `cycle`; its buffer is there where values are computed."""
    cdef int i = pending_new(s, DRIVE, cycle)
    cdef Pending* p = &s.pending[i]
    p.op, p.issue, p.width, p.layout = op, issue, width, layout
    p.target = p.seen = 0
    if s.values:
        p.buf = buffer_new(s)
    return p
