# MXM planes: weights come as bytes and are decoded when the first product needs them.

cdef enum:
    LOAD_STREAMS = 16    # of lw
    SCALE_STREAMS = 10   # of lws
    SCALE_BLOCK = 32     # lanes of K that share a scale


cdef inline Plane* plane_of(State* s, int op) noexcept nogil:
    return &s.plane[(s.ops[op].queue - s.first_mxm) >> 1]


cdef inline Weights* shadow(Plane* p) noexcept nogil:
    return &p.buffers[1 - p.active]


cdef void claim(State* s, int op, int hold, int products) noexcept nogil:
    """Use the plane's weight or mm queue for `hold` cycles, the partner's too where it is a pair."""
    cdef Plane* p = plane_of(s, op)
    cdef int k, planes = s.ops[op].planes
    if s.ops[op].code == OP_IW and shadow(p).planes == 2 and not shadow(p).follower:
        planes = 2
    for k in range(planes):
        if products:
            if p[k].mm_end > s.now:
                hazard(s, PARTNER_BUSY, op, p[k].mm_op, -1, s.ops[op].column, p[k].mm_end, 0)
            p[k].mm_start, p[k].mm_end, p[k].mm_op = s.now, s.now + hold, op
        else:
            if p[k].weights_end > s.now:
                hazard(s, PARTNER_BUSY, op, p[k].weights_op, -1, s.ops[op].column, p[k].weights_end, 0)
            p[k].weights_end, p[k].weights_op = s.now + hold, op


cdef void weights_room(State* s, Weights* w) noexcept nogil:
    """Give a weight buffer its bytes: zeros, scales of 1."""
    if w.raw != NULL or not s.values:
        return
    w.raw = <uint8_t*> calloc(2 * s.lanes, s.lanes)
    w.scales = <uint8_t*> malloc(SCALE_STREAMS * s.lanes)
    if w.raw == NULL or w.scales == NULL:
        s.failed = 1
        return
    memset(w.scales, 127, SCALE_STREAMS * s.lanes)


cdef void begin_load(State* s, int op) noexcept nogil:
    """First cycle of lw: the shadow buffer changes its format."""
    cdef const Op* o = &s.ops[op]
    cdef Plane* p = plane_of(s, op)
    cdef Weights* w = shadow(p)
    cdef Weights* other
    if w.follower:  # half of a pair's weights goes
        (shadow(p - 1)).fresh = 0
        (shadow(p - 1)).complete = FAR_FUTURE
    if w.planes == 2 and not w.follower and o.planes == 1:
        (shadow(p + 1)).follower = 0
        (shadow(p + 1)).fresh = 0
    w.type, w.planes, w.follower = o.type, o.planes, 0
    w.rows, w.lanes, w.fresh, w.scaled, w.decoded, w.op = o.rows, o.lanes, 1, 0, 0, op
    w.complete = FAR_FUTURE
    if o.planes == 2:
        other = shadow(p + 1)
        other.type, other.planes, other.follower, other.fresh, other.op = o.type, 2, 1, 1, op


cdef void do_lw(State* s, int op, int issue, int step) noexcept nogil:
    """Cycle `step` of a load: 16 streams, one output lane each (16-bit types: two streams)."""
    cdef const Op* o = &s.ops[op]
    cdef Weights* w
    cdef const uint8_t* data
    cdef uint64_t poison = 0
    cdef int j, n, bytes_ = TYPE_BYTES[o.type], i
    if step == 0:
        begin_load(s, op)
    w = shadow(plane_of(s, op))
    weights_room(s, w)
    if s.failed:
        return
    n = (LOAD_STREAMS // bytes_) * step
    for j in range(LOAD_STREAMS):
        if n + j // bytes_ >= o.rows:
            break
        data = take(s, op, issue, o.a, o.expect_a, j, &poison)
        s.fed += 1
        if s.values:
            memcpy(w.raw + (2 * (n + j // bytes_) + j % bytes_) * <int64_t> s.lanes, data, o.lanes)
    check_poison(s, op, o.a, poison & first_superlanes(s, o.lanes))
    w.decoded = 0
    if step + 1 < o.hold:
        i = pending_new(s, EXECUTE, s.now + 1)
        s.pending[i].op, s.pending[i].issue, s.pending[i].step = op, issue, step + 1
        return
    w.complete = s.now + 1 + o.latency
    if s.values:
        memset(w.raw + 2 * o.rows * <int64_t> s.lanes, 0, 2 * (s.lanes - o.rows) * <int64_t> s.lanes)


cdef void do_lws(State* s, int op, int issue) noexcept nogil:
    """Scales of the shadow buffer: stream b carries those of lanes 32 b .. 32 b + 31 of K."""
    cdef const Op* o = &s.ops[op]
    cdef Weights* w = shadow(plane_of(s, op))
    cdef const uint8_t* data
    cdef uint64_t poison = 0
    cdef int b
    if not w.fresh or w.complete > s.now or w.type != o.type:
        hazard(s, WEIGHTS_SCALES, op, w.op, -1, o.column, w.type, w.fresh)
    for b in range((w.lanes + SCALE_BLOCK - 1) // SCALE_BLOCK if w.fresh else 0):
        if b >= SCALE_STREAMS:
            break
        data = take(s, op, issue, o.a, o.expect_a, b, &poison)
        s.fed += 1
        if s.values and w.scales != NULL:
            memcpy(w.scales + b * s.lanes, data, s.lanes)
    check_poison(s, op, o.a, poison & first_superlanes(s, w.rows))
    w.scaled, w.decoded = 1, 0


cdef int is_scaled(int type_) noexcept nogil:
    return type_ == TYPE_MXFP8 or type_ == TYPE_MXFP4


cdef void do_iw(State* s, int op, int issue) noexcept nogil:
    """Swap shadow and active weights; the second plane of a pair follows."""
    cdef Plane* p = plane_of(s, op)
    cdef Weights* w = shadow(p)
    cdef int pair = w.planes == 2 and not w.follower
    if w.follower:
        hazard(s, WEIGHTS_PAIR, op, w.op, -1, s.ops[op].column, 0, 0)
    elif not w.fresh or w.complete > s.now:
        hazard(s, WEIGHTS_INCOMPLETE, op, w.op, -1, s.ops[op].column, w.fresh, w.complete)
    elif is_scaled(w.type) and not w.scaled:
        hazard(s, WEIGHTS_INCOMPLETE, op, w.op, -1, s.ops[op].column, 2, 0)
    elif pair and not (shadow(p + 1).follower and shadow(p + 1).fresh):
        hazard(s, WEIGHTS_INCOMPLETE, op, shadow(p + 1).op, -1, s.ops[op].column, 3, 0)
    if p.mm_start <= s.now < p.mm_end - 1:
        hazard(s, WEIGHTS_IN_USE, op, p.mm_op, -1, s.ops[op].column, p.mm_end - 1, 0)
    w.fresh = 0
    p.active = 1 - p.active
    p.installed, p.install_op, p.install_issue = s.now, op, issue
    if pair:
        p += 1
        shadow(p).fresh = 0
        p.active = 1 - p.active
        p.installed, p.install_op, p.install_issue = s.now, op, issue


cdef Weights* weights_for(State* s, int op) noexcept nogil:
    """The weights that an mm of this cycle multiplies; hazards where they are not what it means."""
    cdef const Op* o = &s.ops[op]
    cdef Plane* p = plane_of(s, op)
    cdef int now = p.installed == s.now  # at the very cycle of iw the old ones still count
    cdef Weights* w = &p.buffers[1 - p.active] if now else &p.buffers[p.active]
    cdef Weights* second
    if p.installed < s.now < p.installed + s.iw_latency:
        hazard(s, WEIGHTS_EARLY, op, p.install_op, -1, o.column, p.installed + s.iw_latency, 0)
    if w.type < 0:
        hazard(s, WEIGHTS_NONE, op, -1, -1, o.column, 0, 0)
        return NULL
    if w.type != o.type or w.follower:
        hazard(s, WEIGHTS_TYPE, op, w.op, -1, o.column, w.type, w.follower)
        return NULL
    if o.planes == 2:
        second = &p[1].buffers[1 - p[1].active if now else p[1].active]
        if not second.follower or second.type != o.type:
            hazard(s, WEIGHTS_TYPE, op, second.op, -1, o.column, second.type, 2)
            return NULL
    return w


cdef void decode_weights(State* s, Weights* w) noexcept nogil:
    """Bytes to doubles [k][n], block scales folded in: exact. int8 is used as it came."""
    cdef int n, k, fmt = TYPE_FORMAT[w.type]
    cdef uint8_t* raw
    cdef double scale = 1
    cdef uint16_t* joined = <uint16_t*> s.operand[1]
    w.decoded = 1
    if w.type == TYPE_INT8:
        return
    w.ld = (s.lanes + 3) & ~3
    if w.values == NULL:
        w.values = <double*> malloc(w.ld * <int64_t> s.lanes * sizeof(double))
        if w.values == NULL:
            s.failed = 1
            return
    for n in range(w.rows):
        raw = w.raw + 2 * n * <int64_t> s.lanes
        if TYPE_BYTES[w.type] == 2:
            join_2(joined, raw, raw + s.lanes, w.lanes)
            decode_to_f64(fmt, joined, s.x, w.lanes)
        else:
            decode_to_f64(fmt, raw, s.x, w.lanes)
        if is_scaled(w.type):
            for k in range(w.lanes):
                if k % SCALE_BLOCK == 0:
                    decode_to_f64(FMT_SCALE, w.scales + k // SCALE_BLOCK * s.lanes + n, &scale, 1)
                s.x[k] *= scale
        for k in range(w.lanes):
            w.values[k * <int64_t> w.ld + n] = s.x[k]


cdef void multiply(State* s, Weights* w, const uint8_t** data, int32_t* out) noexcept nogil:
    """The pass: one exact dot product per output lane, rounded once. out: float or int bits."""
    cdef int k, fmt = TYPE_FORMAT[w.type], K = w.lanes
    memset(out, 0, 4 * s.lanes)
    if not w.decoded:
        decode_weights(s, w)
        if s.failed:
            return
    if w.type == TYPE_INT8:
        matvec_i8(out, <const int8_t*> w.raw, <const int8_t*> data[0], w.rows, K, 2 * s.lanes)
        return
    if TYPE_BYTES[w.type] == 2:
        join_2(<uint16_t*> s.operand[0], data[0], data[1], K)
        decode_to_f64(fmt, s.operand[0], s.x, K)
    else:
        decode_to_f64(fmt, data[0], s.x, K)
        if is_scaled(w.type):
            decode_to_f64(FMT_SCALE, data[1], s.products, K)
            for k in range(K):
                s.x[k] *= s.products[k]
    if not is_scaled(w.type) and K <= exact_k(fmt, fmt):
        plain_matvec(w.values, s.x, K, w.rows, w.ld, s.products)
        f64_to_f32(s.products, <float*> out, w.rows)
        canonical_nan(<float*> out, w.rows)
        return
    exact_matvec(w.values, s.x, K, w.rows, w.ld, <float*> out, s.products)


cdef void add_pass(State* s, int op, Weights* w, const uint8_t** data, int form, int32_t* acc) noexcept nogil:
    """The planes' own way: a pass is exact and rounded once, passes add up one after another."""
    cdef int32_t* pass_ = <int32_t*> s.result
    if w != NULL:
        multiply(s, w, data, pass_)
    else:
        memset(pass_, 0, 4 * s.lanes)
    if s.ops[op].start:
        memcpy(acc, pass_, 4 * s.lanes)
    elif form == 2:
        sat_add_i32(acc, pass_, s.lanes)
    else:
        memcpy(s.operand[0], acc, 4 * s.lanes)
        lanes_sum(1, <uint32_t*> acc, <const uint32_t*> s.operand[0], <const uint32_t*> pass_, s.lanes)


cdef void mm_by_model(State* s, int op, Weights* w, const uint8_t** data, int64_t row, int32_t* acc) \
        noexcept with gil:
    """An mm whose sums a model of accumulation makes, in Python: emulator/lpu/models.py."""
    cdef const Op* o = &s.ops[op]
    cdef int planes = TYPE_BYTES[o.type]
    cdef int64_t area = s.lanes * <int64_t> s.lanes
    sums = <object> s.sums
    where = ((o.queue - s.first_mxm) >> 1, row)
    bits = np.asarray(<int32_t[:s.lanes]> acc)
    try:
        if o.start:
            bits[:] = 0
        sums.begin(where, o.type, bits, bool(o.start))
        if w != NULL:
            if not w.decoded:
                sums.load(<size_t> w, w.type, w.rows, w.lanes, w.raw[:2 * area],
                          w.scales[:SCALE_STREAMS * s.lanes])
                w.decoded = 1
            first = data[0][:s.lanes]
            if planes == 2:
                first += data[1][:s.lanes]
            scales = data[planes][:s.lanes] if is_scaled(w.type) else b""
            sums.mm(where, <size_t> w, w.type, first, scales)
        if o.emit:
            bits[:] = sums.value(where)
    except BaseException as error:
        sums.error = error
        s.failed = 1


cdef void do_mm(State* s, int op, int issue, int64_t row) noexcept nogil:
    cdef const Op* o = &s.ops[op]
    cdef Plane* p = plane_of(s, op)
    cdef const uint8_t* data[2]
    cdef uint64_t poison = 0
    cdef Weights* w = weights_for(s, op)
    cdef int streams = TYPE_BYTES[o.type] + is_scaled(o.type), k
    cdef int form = 2 if o.type == TYPE_INT8 else 1
    cdef int32_t* acc
    cdef Pending* out
    for k in range(streams):
        data[k] = take(s, op, issue, o.a, o.expect_a, k, &poison)
        s.fed += 1
    if w != NULL:
        check_poison(s, op, o.a, poison & first_superlanes(s, w.lanes))
    if not o.start:
        if p.acc_type[row] == 0:
            hazard(s, ACCUMULATOR_UNSTARTED, op, -1, -1, o.column, row, 0)
        elif p.acc_type[row] != form:
            hazard(s, ACCUMULATOR_TYPE, op, -1, -1, o.column, row, p.acc_type[row])
    if s.values:
        if p.acc == NULL:
            p.acc = <int32_t*> calloc(s.acc_rows, 4 * s.lanes)
            if p.acc == NULL:
                s.failed = 1
                return
        acc = p.acc + row * s.lanes
        if s.by_model[form == 2]:
            mm_by_model(s, op, w, data, row, acc)
        else:
            add_pass(s, op, w, data, form, acc)
    p.acc_type[row] = form
    if o.emit:
        out = result_new(s, op, issue, s.now + o.latency, 4, CODES)
        if s.values:
            memcpy(buffer_of(s, out.buf), p.acc + row * s.lanes, 4 * s.lanes)
