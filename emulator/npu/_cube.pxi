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

cdef void run_load0(Machine* m, Sub* s, Pipe* p, const Op* o, Pending* q) noexcept nogil:
    """0 dst 1 src 2 rows 3 cols 4 pitch."""
    cdef int w = o.width, space = o.buf
    cdef int64_t rows = q.x[2], cols = q.x[3], row = bytes_of(cols, w)
    cdef int64_t src_rows = cols if o.transpose else rows
    cdef int64_t src_row = bytes_of(rows if o.transpose else cols, w)
    cdef int64_t pitch = q.x[4] if q.x[4] else src_row, took, i, j
    cdef bint scale = space == SPACE_L0AS or space == SPACE_L0BS
    cdef double rate = m.spec.l1_l0b if space == SPACE_L0B or space == SPACE_L0BS else m.spec.l1_l0a
    cdef uint8_t* src
    cdef uint8_t* dst
    if rows < 0 or cols < 0:
        fault(m, FAULT_SHAPE, s, q.op, -1, rows, cols, 0)
        return
    # Fractals are whole: 16 rows of 32 bytes; scales are not in fractals.
    if scale:
        took = m.spec.scale_overhead + <int64_t> ceil(rows * row / rate)
    else:
        took = m.spec.load_overhead + <int64_t> ceil(
            (up(rows, 16) * 16) * (up(row, 32) * 32) / rate)
    m.l0_read += rows * row
    p.free_at = p.done_at = m.now + took
    account(p, p.free_at, R_BUSY)
    src = local(m, s, SPACE_L1, q.x[1], src_row, src_rows, pitch, False, q.op, p.slot, &p.clock)
    dst = local(m, s, space, q.x[0], row, rows, row, True, q.op, p.slot, &p.clock)
    if src == NULL or dst == NULL:
        return
    for i in range(src_rows):
        if o.transpose:
            for j in range(rows):
                put(dst + j * row, i, w, get(src + i * pitch, j, w))
        else:
            memcpy(dst + i * row, src + i * pitch, row)


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


cdef void multiply(
    Machine* m, const Op* o, int64_t rows, int64_t n, int64_t k, const uint8_t* a, const uint8_t* b,
    const uint8_t* as_, const uint8_t* bs, uint8_t* c, const uint8_t* bias) noexcept nogil:
    """c [rows, n] = or += a [rows, k] b [k, n], the accumulator's way."""
    cdef int64_t i
    if o.init:
        for i in range(rows):
            if bias != NULL:
                memcpy(c + i * n * 4, bias, n * 4)
            else:
                memset(c + i * n * 4, 0, n * 4)
    if not add_chunks(&m.scratch, format_of(o.type), width_of(o.type) == WIDTH_B4, rows, n, k,
                      chunk_of(m, o.type), a, as_, b, bs, c):
        fault(m, FAULT_MEMORY, NULL, -1, -1, 0, 0, 0)


cdef void run_mmad(Machine* m, Sub* s, Pipe* p, const Op* o, Pending* q) noexcept nogil:
    """0 dst 1 a 2 b 3 m 4 n 5 k 6 bias (-1: none) 7 ascale 8 bscale."""
    cdef int64_t rows = q.x[3], n = q.x[4], k = q.x[5], took, own, end
    cdef int w = width_of(o.type), i
    cdef int64_t row_a = bytes_of(k, w), row_b = bytes_of(n, w), size = rows * n * 4
    cdef Region* r
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
    multiply(m, o, rows, n, k, a, b, as_, bs, c, bias)


# ---- FIX -----------------------------------------------------------------------------------------

cdef void convert_row(
    Machine* m, const Op* o, const uint8_t* src, int64_t n, const float* scales, bint channel,
    uint8_t* out) noexcept nogil:
    """One row of L0C in the output's format."""
    cdef float* f = m.product
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


cdef void run_fix(Machine* m, Sub* s, Pipe* p, const Op* o, Pending* q) noexcept nogil:
    """0 dst 1 src 2 m 3 n 4 src_pitch 5 dst_pitch 6 scale (-1: none) 7 sub; x[8] its value."""
    cdef int64_t rows = q.x[2], n = q.x[3], src_pitch = q.x[4] if q.x[4] else n * 4
    cdef int w = width_of(o.to), half, halves = 2 if o.split else 1
    cdef int64_t row = bytes_of(n, w), dst_pitch = q.x[5] if q.x[5] else row
    cdef int64_t own, ready, i, part, first
    cdef double rate = m.spec.l0c_gm
    cdef uint8_t* src
    cdef uint8_t* dst = NULL
    cdef uint8_t* line
    cdef const float* scales = NULL
    cdef float factor
    cdef uint32_t bits
    cdef Region* r = NULL
    cdef Sub* target
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
    own = m.now + m.spec.fix_overhead + <int64_t> ceil(row * rows / rate)
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
    if q.x[6] >= 0:
        if o.channel:
            scales = <const float*> local(m, s, SPACE_L1, q.x[8], n * 4, 1, 0, False, q.op, p.slot,
                                          &p.clock)
        else:
            bits = <uint32_t> q.x[8]
            memcpy(&factor, &bits, 4)
            scales = &factor
    if o.space == SPACE_GM:
        note_global(m, s, p, True, q.x[0], row, rows, dst_pitch, q.op)
    for half in range(halves):
        part = up(rows, 2) if o.split and half == 0 else rows // 2 if o.split else rows
        first = up(rows, 2) if half else 0
        if o.space != SPACE_GM:
            target = s if o.space == SPACE_L1 else s + 1 + (half if o.split else q.x[7])
            dst = local(m, target, o.space, q.x[0], row, part, dst_pitch, True, q.op, p.slot,
                        &p.clock)
        for i in range(part):
            line = dst + i * dst_pitch
            if o.space == SPACE_GM:
                if o.add:
                    global_row(m, s, <uint64_t> (q.x[0] + (first + i) * dst_pitch), row, False, q.op)
                line = dst = global_row(
                    m, s, <uint64_t> (q.x[0] + (first + i) * dst_pitch), row, True, q.op)
            if m.stop:
                return
            if src == NULL or dst == NULL:
                continue
            if o.add:
                convert_row(m, o, src + (first + i) * src_pitch, n, scales, o.channel, m.unpacked)
                add_row(o, line, m.unpacked, n)
            else:
                convert_row(m, o, src + (first + i) * src_pitch, n, scales, o.channel, line)
