# The cube sub-core: MTE1, M, FIX. Part of _engine.pyx.

cdef inline int format_of(int type_) noexcept nogil:
    """The numerics core's format of an element."""
    if type_ == TYPE_FP32:
        return FP32
    elif type_ == TYPE_FP16:
        return FP16
    elif type_ == TYPE_BF16:
        return BF16
    elif type_ == TYPE_E4M3 or type_ == TYPE_MXFP8:
        return E4M3
    elif type_ == TYPE_E5M2 or type_ == TYPE_MXFP8_E5M2:
        return E5M2
    elif type_ == TYPE_HIF8:
        return HIF8
    elif type_ == TYPE_INT8:
        return INT8
    elif type_ == TYPE_INT32:
        return INT32
    elif type_ == TYPE_UINT8:
        return UINT8
    return E2M1


cdef inline int width_of(int type_) noexcept nogil:
    """Width in memory."""
    if type_ == TYPE_FP32 or type_ == TYPE_INT32:
        return WIDTH_B32
    elif type_ == TYPE_FP16 or type_ == TYPE_BF16:
        return WIDTH_B16
    elif type_ == TYPE_MXFP4:
        return WIDTH_B4
    return WIDTH_B8


cdef inline bint is_scaled(int type_) noexcept nogil:
    return type_ == TYPE_MXFP8 or type_ == TYPE_MXFP8_E5M2 or type_ == TYPE_MXFP4


cdef inline int64_t up(int64_t a, int64_t b) noexcept nogil:
    """a / b rounded up."""
    return (a + b - 1) // b


# ---- MTE1 ----------------------------------------------------------------------------------------

cdef int64_t bank_conflict(
    Machine* m, const Pipe* writer, int64_t lo, int64_t hi, double bytes_) noexcept nogil:
    """Cycles that a read of L1 [lo, hi) loses to MTE2, which writes to the same bank meanwhile.

    Banks are equal parts of L1, one after another. A bank moves so many bytes per cycle, and what
    comes from global memory takes its part of them first.
    """
    cdef int64_t size = m.spec.sizes[SPACE_L1] // m.spec.l1_banks
    if writer.arrived >= writer.asked or hi <= lo or writer.fills_hi <= writer.fills_lo:
        return 0
    if (writer.fills_hi - 1) // size < lo // size or (hi - 1) // size < writer.fills_lo // size:
        return 0
    return up_to(bytes_ / m.spec.l1_bank * min(writer.transfer.rate / m.spec.l1_bank, 1.0))


cdef void run_load0(Machine* m, Sub* s, Pipe* p, const Op* o, Pending* q) noexcept nogil:
    """0 dst 1 src 2 rows 3 cols 4 pitch."""
    cdef int w = o.width, space = o.buf
    cdef int64_t rows = q.x[2], cols = q.x[3], row = bytes_of(cols, w)
    cdef int64_t src_rows = cols if o.transpose else rows
    cdef int64_t src_row = bytes_of(rows if o.transpose else cols, w)
    cdef int64_t pitch = q.x[4] if q.x[4] else src_row, took, lost
    cdef bint scale = space == SPACE_L0AS or space == SPACE_L0BS
    cdef double rate = m.spec.l1_l0b if space == SPACE_L0B or space == SPACE_L0BS else m.spec.l1_l0a
    cdef uint8_t* src
    cdef uint8_t* dst
    if rows < 0 or cols < 0:
        fault(m, FAULT_SHAPE, s, q.op, -1, rows, cols, 0)
        return
    # Fractals are whole: 16 rows of 32 bytes; scales are not in fractals.
    if scale:
        took = m.spec.scale_overhead + up_to(rows * row / rate)
    else:
        took = m.spec.load_overhead + up_to(
            (up(rows, 16) * 16) * (up(row, 32) * 32) / rate)
    m.l0_read += rows * row
    lost = bank_conflict(m, &s.pipes[PIPE_MTE2], q.x[1], q.x[1] + (src_rows - 1) * pitch + src_row,
                         <double> (rows * row))
    p.free_at = p.done_at = m.now + took + lost
    account(p, m.now + took, R_BUSY)
    account(p, p.free_at, R_L1_BANK)
    src = local(m, s, SPACE_L1, q.x[1], src_row, src_rows, pitch, False, q.op, p.slot, &p.clock)
    dst = local(m, s, space, q.x[0], row, rows, row, True, q.op, p.slot, &p.clock)
    if src == NULL or dst == NULL:
        return
    if o.transpose:
        defer_turn(m, s, q.op, w, dst, src, rows, src_rows, row, pitch, 0)
    else:
        defer_copy(m, s, q.op, dst, src, row, rows, row, pitch)


# ---- M -------------------------------------------------------------------------------------------

cdef Region* region_of(Sub* s, int64_t lo, int64_t hi) noexcept nogil:
    """The handed-over part of L0C that overlaps these bytes, or NULL."""
    cdef int i
    for i in range(REGIONS):
        if s.regions[i].state and s.regions[i].lo < hi and lo < s.regions[i].hi:
            return &s.regions[i]
    return NULL


cdef bint units_waited_for(Sub* s, const Op* o, Pending* q) noexcept nogil:
    """Whether an mmad must wait: FIX has not begun to take what was handed over there."""
    cdef Region* r
    if o.unit == UNIT_OFF:
        return False
    r = region_of(s, q.x[0], q.x[0] + q.x[3] * q.x[4] * 4)
    return r != NULL and r.state == 1


cdef int64_t chunk_of(Machine* m, int type_) noexcept nogil:
    """Elements of k that the cube sums exactly."""
    cdef int w = width_of(type_)
    return m.spec.chunk << 1 if w == WIDTH_B4 else m.spec.chunk >> (w - WIDTH_B8)


cdef void add_by_model(Machine* m, Worker* h, const Op* o, const Work* w) noexcept with gil:
    """The sums of an mmad by a model of accumulation, in Python: emulator/npu/models.py."""
    cdef int width = width_of(o.type)
    cdef int64_t blocks = up(w.k, 32)
    sums = <object> m.sums
    try:
        sums.mmad(
            <size_t> w.dst, o.type, (w.rows, w.n, w.k), bool(o.init),
            w.src[:w.rows * bytes_of(w.k, width)],
            w.scales[:w.rows * blocks] if w.scales != NULL else b"",
            w.other[:w.k * bytes_of(w.n, width)],
            w.other_scales[:blocks * w.n] if w.other_scales != NULL else b"",
            np.asarray(<int32_t[:w.rows, :w.n]> <int32_t*> w.dst))
    except BaseException as error:
        sums.error = error
        h.failed = 1


cdef void do_mmad(Machine* m, Worker* h, const Op* o, const Work* w) noexcept nogil:
    """c [rows, n] = or += a [rows, k] b [k, n]: begins the sums, then adds the accumulator's way."""
    cdef int64_t i
    if o.init:
        for i in range(w.rows):
            if w.bias != NULL:
                memcpy(w.dst + i * w.n * 4, w.bias, w.n * 4)
            else:
                memset(w.dst + i * w.n * 4, 0, w.n * 4)
    if m.by_model[o.type == TYPE_INT8]:
        add_by_model(m, h, o, w)
        return
    if not add_chunks(&h.scratch, format_of(o.type), width_of(o.type) == WIDTH_B4, w.rows, w.n, w.k,
                      chunk_of(m, o.type), w.src, w.scales, w.other, w.other_scales, w.dst):
        h.failed = 1


cdef void run_mmad(Machine* m, Sub* s, Pipe* p, const Op* o, Pending* q) noexcept nogil:
    """0 dst 1 a 2 b 3 m 4 n 5 k 6 bias (-1: none) 7 ascale 8 bscale."""
    cdef int64_t rows = q.x[3], n = q.x[4], k = q.x[5], took, own, end
    cdef int w = width_of(o.type), i
    cdef int64_t row_a = bytes_of(k, w), row_b = bytes_of(n, w), size = rows * n * 4
    cdef Region* r
    cdef Work* work
    cdef uint8_t* a
    cdef uint8_t* b
    cdef uint8_t* c
    cdef uint8_t* as_ = NULL
    cdef uint8_t* bs = NULL
    cdef uint8_t* bias = NULL
    if rows <= 0 or n <= 0 or k <= 0:
        fault(m, FAULT_SHAPE, s, q.op, -1, rows, n, k)
        return
    took = up(rows, m.spec.rows) * up(n, m.spec.rows) * up(k, m.spec.k0[o.type])
    took += m.spec.startup if took < m.spec.startup_hidden_from else m.spec.startup_hidden
    end = own = m.now + took
    if o.unit != UNIT_OFF:
        r = region_of(s, q.x[0], q.x[0] + size)
        if r != NULL:  # FIX is at it: not ahead of its units
            end = max(end, r.fix_end + took * m.spec.unit // max(size, 1))
            r.state = 0
        if o.unit == UNIT_SET:
            for i in range(REGIONS):
                r = &s.regions[i]
                if r.state == 0:
                    r.lo, r.hi, r.m_start, r.m_end, r.state = q.x[0], q.x[0] + size, m.now, end, 1
                    break
            else:
                fault(m, FAULT_UNIT, s, q.op, -1, 0, 0, 0)
                return
    account(p, own, R_BUSY)
    account(p, end, R_FIX)
    p.free_at = p.done_at = end
    a = local(m, s, SPACE_L0A, q.x[1], row_a, rows, row_a, False, q.op, p.slot, &p.clock)
    b = local(m, s, SPACE_L0B, q.x[2], row_b, k, row_b, False, q.op, p.slot, &p.clock)
    if is_scaled(o.type):
        as_ = local(m, s, SPACE_L0AS, q.x[7], up(k, 32), rows, up(k, 32), False, q.op, p.slot,
                    &p.clock)
        bs = local(m, s, SPACE_L0BS, q.x[8], n, up(k, 32), n, False, q.op, p.slot, &p.clock)
    if o.init and q.x[6] >= 0:
        bias = local(m, s, SPACE_BIAS, q.x[6], n * 4, 1, 0, False, q.op, p.slot, &p.clock)
    if not o.init:
        local(m, s, SPACE_L0C, q.x[0], size, 1, 0, False, q.op, p.slot, &p.clock)
    c = local(m, s, SPACE_L0C, q.x[0], size, 1, 0, True, q.op, p.slot, &p.clock)
    if m.stop or c == NULL or a == NULL or b == NULL:
        return
    work = defer(m, s, WORK_MMAD, q.op)
    if work != NULL:
        work.dst, work.src, work.other, work.bias = c, a, b, bias
        work.scales, work.other_scales = as_, bs
        work.rows, work.n, work.k = rows, n, k


# ---- FIX -----------------------------------------------------------------------------------------

cdef void convert_row(
    Worker* h, const Op* o, const uint8_t* src, int64_t n, const float* scales, bint channel,
    uint8_t* out) noexcept nogil:
    """One row of L0C in the output's format."""
    cdef float* f = h.row
    cdef int64_t i
    cdef bint integer = o.type == TYPE_INT32
    if integer and o.to == TYPE_INT32 and scales == NULL:
        memcpy(out, src, n * 4)
        if o.relu:
            for i in range(n):
                (<int32_t*> out)[i] = max((<int32_t*> out)[i], 0)
        return
    if integer:
        i32_to_f32(<const int32_t*> src, f, n)
    else:
        memcpy(f, src, n * 4)
    if scales != NULL:
        for i in range(n):
            f[i] = f[i] * scales[i if channel else 0]
    if o.relu:
        for i in range(n):
            if f[i] <= 0:
                f[i] = 0
    encode_from_f32(format_of(o.to), f, out, n, o.sat)


cdef void add_row(const Op* o, uint8_t* into, const uint8_t* row, int64_t n) noexcept nogil:
    """FIX with `add` to global memory: one rounding, integers saturate."""
    cdef int64_t i
    if o.to == TYPE_INT32:
        sat_add_i32(<int32_t*> into, <const int32_t*> row, n)
        return
    for i in range(n):
        (<float*> into)[i] = (<float*> into)[i] + (<const float*> row)[i]
    canonical_nan(<float*> into, n)


cdef void do_fix(Worker* h, const Op* o, const Work* w) noexcept nogil:
    cdef const float* scales = NULL
    cdef int64_t i
    if w.scaled:
        scales = <const float*> w.scales if w.scaled == 2 else &w.factor
    for i in range(w.rows):
        if o.add:
            convert_row(h, o, w.src + i * w.src_pitch, w.n, scales, o.channel, h.codes)
            add_row(o, w.dst + i * w.dst_pitch, h.codes, w.n)
        else:
            convert_row(h, o, w.src + i * w.src_pitch, w.n, scales, o.channel,
                        w.dst + i * w.dst_pitch)


cdef void defer_fix(
    Machine* m, Sub* s, int op, uint8_t* dst, const uint8_t* src, int64_t n, int64_t rows,
    int64_t dst_pitch, int64_t src_pitch, const uint8_t* scales, uint32_t factor) noexcept nogil:
    """Rows of L0C to their place."""
    cdef Work* w
    cdef const Op* o = &m.ops[op]
    if src == NULL or dst == NULL or rows <= 0 or n <= 0:
        return
    w = defer(m, s, WORK_FIX, op)
    if w != NULL:
        w.dst, w.src, w.n, w.rows = dst, src, n, rows
        w.dst_pitch, w.src_pitch, w.scales = dst_pitch, src_pitch, scales
        w.scaled = 0 if not o.scale else 2 if o.channel else 1
        memcpy(&w.factor, &factor, 4)


cdef void run_fix(Machine* m, Sub* s, Pipe* p, const Op* o, Pending* q) noexcept nogil:
    """0 dst 1 src 2 m 3 n 4 src_pitch 5 dst_pitch 6 scale (-1: none) 7 sub; x[8] its value."""
    cdef int64_t rows = q.x[2], n = q.x[3], src_pitch = q.x[4] if q.x[4] else n * 4
    cdef int w = width_of(o.to), half, halves = 2 if o.split else 1
    cdef int64_t row = bytes_of(n, w), dst_pitch = q.x[5] if q.x[5] else row
    cdef int64_t own, ready, i, part, first, begun
    cdef double rate = m.spec.l0c_gm
    cdef uint8_t* src
    cdef uint8_t* dst = NULL
    cdef uint8_t* start = NULL
    cdef const uint8_t* scales = NULL
    cdef Region* r = NULL
    cdef Sub* target
    cdef uint64_t at
    cdef bint simple
    if rows < 0 or n < 0 or (o.add and (o.space != SPACE_GM or w != WIDTH_B32)):
        fault(m, FAULT_SHAPE, s, q.op, -1, rows, n, 0)
        return
    if o.space == SPACE_UB:
        rate = m.spec.l0c_ub
        if rate <= 0 or m.kind != 0 or not 0 <= q.x[7] < m.per_core - 1:
            fault(m, FAULT_PATH, s, q.op, -1, SPACE_L0C, SPACE_UB, 0)
            return
    elif o.space == SPACE_L1:
        rate = m.spec.l0c_l1
    if o.unit:
        r = region_of(s, q.x[1], q.x[1] + (rows - 1) * src_pitch + n * 4)
    # ---- when
    own = m.now + m.spec.fix_overhead + up_to(row * rows / rate)
    ready = own if r == NULL else max(own, r.m_end + m.spec.fix_overhead)
    if r != NULL:  # where global memory is slow this is too early for M, by what FIX waits there
        r.fix_start, r.fix_end, r.state = m.now, ready, 2
    p.tail = R_FIX
    if o.space == SPACE_GM:
        gm_request(m, s, p, True, <uint64_t> q.x[0], row, rows, dst_pitch, 1, 0, False, rate,
                   m.spec.fix_overhead)
    else:
        account(p, own, R_BUSY)
        account(p, ready, R_CUBE)
    p.free_at = max(p.free_at, ready)
    p.done_at = max(p.done_at, p.free_at)
    # ---- what
    src = local(m, s, SPACE_L0C, q.x[1], n * 4, rows, src_pitch, False, q.op, p.slot, &p.clock)
    if q.x[6] >= 0 and o.channel:
        scales = local(m, s, SPACE_L1, q.x[8], n * 4, 1, 0, False, q.op, p.slot, &p.clock)
    if o.space == SPACE_GM:
        note_global(m, s, p, True, q.x[0], row, rows, dst_pitch, q.op)
    for half in range(halves):
        part = up(rows, 2) if o.split and half == 0 else rows // 2 if o.split else rows
        first = up(rows, 2) if half else 0
        if o.space != SPACE_GM:
            target = s if o.space == SPACE_L1 else s + 1 + (half if o.split else q.x[7])
            dst = local(m, target, o.space, q.x[0], row, part, dst_pitch, True, q.op, p.slot,
                        &p.clock)
            if not m.stop:
                defer_fix(m, s, q.op, dst, src + first * src_pitch if src != NULL else NULL, n, part,
                         dst_pitch, src_pitch, scales, <uint32_t> q.x[8])
            continue
        begun = 0
        simple = not m.values and in_one_tensor(
            m, <uint64_t> (q.x[0] + first * dst_pitch), row, part, dst_pitch, True)
        for i in range(0 if simple else part):
            at = <uint64_t> (q.x[0] + (first + i) * dst_pitch)
            if o.add:
                global_row(m, s, at, row, False, q.op)
            dst = global_row(m, s, at, row, True, q.op)
            if m.stop:
                return
            if i == 0:
                start = dst
            elif dst != start + (i - begun) * dst_pitch:  # these rows lie in another tensor
                defer_fix(m, s, q.op, start, src + (first + begun) * src_pitch, n, i - begun,
                         dst_pitch, src_pitch, scales, <uint32_t> q.x[8])
                begun, start = i, dst
        if part > 0 and src != NULL:
            defer_fix(m, s, q.op, start, src + (first + begun) * src_pitch, n, part - begun,
                     dst_pitch, src_pitch, scales, <uint32_t> q.x[8])
