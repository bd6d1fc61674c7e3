# VXM: operands from streams, chained ALUs or the immediate; results to a stream or only chained.

cdef int chain_operand(State* s, int op, int issue, int alu, int width, uint64_t* poison) noexcept nogil:
    """The buffer of what ALU `alu` delivers in this cycle; -1 when there is none."""
    cdef Chained* c = &s.chained[alu * s.ring + (s.now & (s.ring - 1))]
    cdef Pending* p
    if c.cycle != s.now:
        hazard(s, CHAIN_MISSING, op, -1, 64 + alu, s.ops[op].column, 0, 0)
        return -1
    p = &s.pending[c.pending]
    if p.width != width:
        hazard(s, CHAIN_WIDTH, op, p.op, 64 + alu, s.ops[op].column, p.width, width)
        return -1
    p.seen = 1
    poison[0] |= p.poison
    log_use(s, issue, p.issue, 0)
    return p.buf


cdef const uint8_t* vxm_operand(
        State* s, int op, int issue, int raw, int width, int expect, int k, uint32_t imm) noexcept nogil:
    """Operand k as codes of `width` bytes a lane."""
    cdef const uint8_t* planes[4]
    cdef uint8_t* out = s.operand[k]
    cdef uint64_t poison = 0
    cdef int i, buf, kind = raw >> 6
    if kind == KIND_IMM:
        if s.values:
            lanes_fill(<uint32_t*> out, imm, s.lanes)
        return out
    if kind == KIND_ALU:
        buf = chain_operand(s, op, issue, raw & 63, width, &poison)
        check_poison(s, op, 64 + (raw & 63), poison)
        return buffer_of(s, buf) if buf >= 0 else s.zeros
    planes[0] = planes[1] = planes[2] = planes[3] = s.zeros
    for i in range(width):
        planes[i] = take(s, op, issue, raw & 63, expect, i, &poison)
    check_poison(s, op, raw & 63, poison)
    if width == 1 or not s.values:
        return planes[0]
    if width == 4:
        join_4(<uint32_t*> out, planes[0], planes[1], planes[2], planes[3], s.lanes)
    else:
        join_2(<uint16_t*> out, planes[0], planes[1], s.lanes)
    return out


cdef void vxm_running(State* s, int op, const uint32_t* a) noexcept nogil:
    """Begin anew with a, or fold a into the ALU's running value."""
    cdef const Op* o = &s.ops[op]
    cdef Alu* alu = &s.alu[o.queue - s.first_vxm]
    cdef int fp = o.type == TYPE_FP32
    if not o.start and alu.running != o.type + 1:
        hazard(s, RUNNING_UNSTARTED, op, -1, -1, o.column, alu.running, 0)
        memset(alu.acc, 0, 4 * s.lanes)
    alu.running = o.type + 1
    if not s.values:
        return
    if o.start:
        memcpy(alu.acc, a, 4 * s.lanes)
        if fp:
            canonical_nan(<float*> alu.acc, s.lanes)
        return
    memcpy(s.result, alu.acc, 4 * s.lanes)
    if o.code == OP_RUNMAX:
        vxm_binary(OP_MAX, fp, alu.acc, <const uint32_t*> s.result, a, s.lanes)
    else:
        lanes_sum(fp, alu.acc, <const uint32_t*> s.result, a, s.lanes)


cdef void vxm_result(State* s, int op, int issue, int width) noexcept nogil:
    """Announce a result of `width` bytes a lane, now in s.result, to its stream and to chains."""
    cdef const Op* o = &s.ops[op]
    cdef int alu = o.queue - s.first_vxm
    cdef int64_t cycle = s.now + o.latency - o.skew
    cdef Chained* c = &s.chained[alu * s.ring + (cycle & (s.ring - 1))]
    cdef Pending* p = result_new(s, op, issue, cycle, width, CODES)
    if s.values:
        memcpy(buffer_of(s, p.buf), s.result, width * s.lanes)
    if c.cycle == cycle:
        hazard(s, ALU_COLLISION, op, s.pending[c.pending].op, 64 + alu, o.column, cycle, 0)
    c.cycle, c.pending = cycle, <int> (p - s.pending)


cdef void do_vxm(State* s, int op, int issue, int64_t by) noexcept nogil:
    cdef const Op* o = &s.ops[op]
    cdef int code = o.code, fp = o.type == TYPE_FP32, width = TYPE_BYTES[o.type]
    cdef uint32_t imm = immediate(o.type, o.value, by)
    cdef const uint8_t* a
    cdef const uint8_t* b = s.zeros
    cdef const uint8_t* c = s.zeros
    if code == OP_SELECT:
        c = vxm_operand(s, op, issue, o.c, 1, o.expect_c, 2, imm)
    a = vxm_operand(s, op, issue, o.a, width, o.expect_a, 0, imm)
    if OP_ADD <= code <= OP_MIN or OP_LT <= code <= OP_NE or code == OP_SELECT:
        b = vxm_operand(s, op, issue, o.b, width, o.expect_b, 1, imm)
    if code == OP_RUNMAX or code == OP_RUNSUM:
        vxm_running(s, op, <const uint32_t*> a)
        if o.emit:
            if s.values:
                memcpy(s.result, s.alu[o.queue - s.first_vxm].acc, 4 * s.lanes)
            vxm_result(s, op, issue, 4)
        return
    if OP_LT <= code <= OP_NE:
        width = 1
    elif code == OP_CAST:
        width = TYPE_BYTES[o.to]
    if s.values:
        if OP_ADD <= code <= OP_MIN:
            vxm_binary(code, fp, <uint32_t*> s.result, <const uint32_t*> a, <const uint32_t*> b, s.lanes)
        elif OP_LT <= code <= OP_NE:
            vxm_test(code, fp, s.result, <const uint32_t*> a, <const uint32_t*> b, s.lanes)
        elif code == OP_SELECT:
            lanes_select(<uint32_t*> s.result, c, <const uint32_t*> a, <const uint32_t*> b, s.lanes)
        elif code == OP_CAST:
            cast_lanes(o.type, o.to, o.sat, s.result, a, s.x, s.row, s.lanes)
        else:
            vxm_unary(code, fp, <uint32_t*> s.result, <const uint32_t*> a, s.lanes)
    vxm_result(s, op, issue, width)
