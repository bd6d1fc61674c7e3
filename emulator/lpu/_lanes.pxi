# What instructions compute: functions of lanes, knowing nothing of time. fp32 arithmetic is IEEE
# nearest even and every NaN that it makes is 0x7fc00000.

cdef extern from *:
    """
    #define LPU_INLINE PRESIL_INLINE
    #define LPU_LOOP PRESIL_CLONES static void

    LPU_INLINE float lpu_float(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }
    LPU_INLINE uint32_t lpu_bits(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }
    /* NaN in, canonical NaN out. */
    LPU_INLINE uint32_t lpu_arith(float f) { return f == f ? lpu_bits(f) : 0x7fc00000u; }

    /* Floats in the order of two's complement integers, -0 below +0. */
    LPU_INLINE int32_t lpu_order(uint32_t u) { return (int32_t)(u ^ ((uint32_t)((int32_t)u >> 31) >> 1)); }
    LPU_INLINE int lpu_nan(uint32_t u) { return (u & 0x7fffffffu) > 0x7f800000u; }

    LPU_INLINE uint32_t f_add(uint32_t a, uint32_t b) { return lpu_arith(lpu_float(a) + lpu_float(b)); }
    LPU_INLINE uint32_t f_sub(uint32_t a, uint32_t b) { return lpu_arith(lpu_float(a) - lpu_float(b)); }
    LPU_INLINE uint32_t f_mul(uint32_t a, uint32_t b) { return lpu_arith(lpu_float(a) * lpu_float(b)); }
    LPU_INLINE uint32_t f_max(uint32_t a, uint32_t b) {
        uint32_t m = lpu_order(a) > lpu_order(b) ? a : b;
        return lpu_nan(a) | lpu_nan(b) ? 0x7fc00000u : m;
    }
    LPU_INLINE uint32_t f_min(uint32_t a, uint32_t b) {
        uint32_t m = lpu_order(a) < lpu_order(b) ? a : b;
        return lpu_nan(a) | lpu_nan(b) ? 0x7fc00000u : m;
    }
    LPU_INLINE uint32_t i_add(uint32_t a, uint32_t b) { return a + b; }
    LPU_INLINE uint32_t i_sub(uint32_t a, uint32_t b) { return a - b; }
    LPU_INLINE uint32_t i_mul(uint32_t a, uint32_t b) { return a * b; }
    LPU_INLINE uint32_t i_max(uint32_t a, uint32_t b) { return (int32_t)a > (int32_t)b ? a : b; }
    LPU_INLINE uint32_t i_min(uint32_t a, uint32_t b) { return (int32_t)a < (int32_t)b ? a : b; }
    LPU_INLINE uint32_t i_sum(uint32_t a, uint32_t b) {  /* saturating, as the matrix unit adds */
        int64_t t = (int64_t)(int32_t)a + (int32_t)b;
        return (uint32_t)(int32_t)(t > INT32_MAX ? INT32_MAX : t < INT32_MIN ? INT32_MIN : t);
    }

    LPU_INLINE uint32_t f_neg(uint32_t a) { return a ^ 0x80000000u; }
    LPU_INLINE uint32_t f_abs(uint32_t a) { return a & 0x7fffffffu; }
    LPU_INLINE uint32_t f_relu(uint32_t a) { return lpu_nan(a) ? 0x7fc00000u : (int32_t)a > 0 ? a : 0; }
    LPU_INLINE uint32_t i_neg(uint32_t a) { return 0u - a; }
    LPU_INLINE uint32_t i_abs(uint32_t a) { return (int32_t)a < 0 ? 0u - a : a; }
    LPU_INLINE uint32_t i_relu(uint32_t a) { return (int32_t)a > 0 ? a : 0; }

    #define LPU_F2(OP) (lpu_float(a) OP lpu_float(b))
    #define LPU_I2(OP) ((int32_t)a OP (int32_t)b)
    #define LPU_COMPARES(X) X(lt, <) X(le, <=) X(gt, >) X(ge, >=) X(eq, ==) X(ne, !=)
    #define LPU_COMPARE(NAME, OP) \\
        LPU_INLINE uint8_t f_##NAME(uint32_t a, uint32_t b) { return LPU_F2(OP); } \\
        LPU_INLINE uint8_t i_##NAME(uint32_t a, uint32_t b) { return LPU_I2(OP); }
    LPU_COMPARES(LPU_COMPARE)

    /* The loop around the body, once per shape; fp: fp32, else int32. */
    #define LPU_EACH(EXPR) for (int i = 0; i < n; i++) out[i] = EXPR
    #define LPU_BINARY(NAME, I) LPU_LOOP lanes_##NAME( \\
        int fp, uint32_t *restrict out, const uint32_t *a, const uint32_t *b, int n) { \\
        if (fp) LPU_EACH(f_##NAME(a[i], b[i])); else LPU_EACH(I(a[i], b[i])); }
    #define LPU_UNARY(NAME) LPU_LOOP lanes_##NAME( \\
        int fp, uint32_t *restrict out, const uint32_t *a, int n) { \\
        if (fp) LPU_EACH(f_##NAME(a[i])); else LPU_EACH(i_##NAME(a[i])); }
    #define LPU_TEST(NAME, OP) LPU_LOOP lanes_##NAME( \\
        int fp, uint8_t *restrict out, const uint32_t *a, const uint32_t *b, int n) { \\
        if (fp) LPU_EACH(f_##NAME(a[i], b[i])); else LPU_EACH(i_##NAME(a[i], b[i])); }
    #define f_sum f_add
    LPU_BINARY(add, i_add) LPU_BINARY(sub, i_sub) LPU_BINARY(mul, i_mul)
    LPU_BINARY(max, i_max) LPU_BINARY(min, i_min) LPU_BINARY(sum, i_sum)
    LPU_UNARY(neg) LPU_UNARY(abs) LPU_UNARY(relu)
    LPU_COMPARES(LPU_TEST)

    LPU_LOOP lanes_select(
        uint32_t *restrict out, const uint8_t *mask, const uint32_t *a, const uint32_t *b, int n) {
        for (int i = 0; i < n; i++) out[i] = mask[i] ? a[i] : b[i];
    }
    static void lanes_fill(uint32_t *restrict out, uint32_t v, int n) {
        for (int i = 0; i < n; i++) out[i] = v;
    }
    /* Byte planes <-> elements, low byte first. */
    LPU_LOOP join_4(uint32_t *restrict out, const uint8_t *p0, const uint8_t *p1,
                       const uint8_t *p2, const uint8_t *p3, int n) {
        for (int i = 0; i < n; i++)
            out[i] = (uint32_t)p0[i] | (uint32_t)p1[i] << 8 | (uint32_t)p2[i] << 16 | (uint32_t)p3[i] << 24;
    }
    LPU_LOOP join_2(uint16_t *restrict out, const uint8_t *p0, const uint8_t *p1, int n) {
        for (int i = 0; i < n; i++) out[i] = (uint16_t)(p0[i] | p1[i] << 8);
    }
    LPU_LOOP split_4(uint8_t *restrict p0, uint8_t *restrict p1, uint8_t *restrict p2,
                     uint8_t *restrict p3, const uint32_t *restrict x, int n) {
        for (int i = 0; i < n; i++) {
            p0[i] = (uint8_t)x[i];
            p1[i] = (uint8_t)(x[i] >> 8);
            p2[i] = (uint8_t)(x[i] >> 16);
            p3[i] = (uint8_t)(x[i] >> 24);
        }
    }
    LPU_LOOP split_2(uint8_t *restrict p0, uint8_t *restrict p1, const uint16_t *restrict x, int n) {
        for (int i = 0; i < n; i++) {
            p0[i] = (uint8_t)x[i];
            p1[i] = (uint8_t)(x[i] >> 8);
        }
    }

    /* An integer product, exact: out[n] = sum over k of w[n][k] x[k], rows of w `pitch` apart. */
    LPU_LOOP matvec_i8(int32_t *restrict out, const int8_t *restrict w, const int8_t *restrict x,
                       int rows, int depth, int pitch) {
        for (int n = 0; n < rows; n++) {
            const int8_t *row = w + (ptrdiff_t)n * pitch;
            int32_t sum = 0;
            for (int k = 0; k < depth; k++) sum += (int16_t)row[k] * (int16_t)x[k];
            out[n] = sum;
        }
    }
    /* The immediate of a repetition: numbers advance, then one rounding. */
    static uint32_t advance_f32(uint32_t bits, double by) {
        return by == 0 ? bits : lpu_arith((float)((double)lpu_float(bits) + by));
    }
    static void gather_lanes(uint8_t *restrict out, const uint8_t *a, const uint16_t *map, int n) {
        for (int i = 0; i < n; i++) out[i] = map[i] < n ? a[map[i]] : 0;
    }
    LPU_LOOP choose_lanes(uint8_t *restrict out, const uint8_t *c, const uint8_t *a, const uint8_t *b, int n) {
        for (int i = 0; i < n; i++) out[i] = c[i] ? a[i] : b[i];
    }
    """
    void lanes_add(int, uint32_t*, const uint32_t*, const uint32_t*, int) noexcept nogil
    void lanes_sub(int, uint32_t*, const uint32_t*, const uint32_t*, int) noexcept nogil
    void lanes_mul(int, uint32_t*, const uint32_t*, const uint32_t*, int) noexcept nogil
    void lanes_max(int, uint32_t*, const uint32_t*, const uint32_t*, int) noexcept nogil
    void lanes_min(int, uint32_t*, const uint32_t*, const uint32_t*, int) noexcept nogil
    void lanes_sum(int, uint32_t*, const uint32_t*, const uint32_t*, int) noexcept nogil
    void lanes_neg(int, uint32_t*, const uint32_t*, int) noexcept nogil
    void lanes_abs(int, uint32_t*, const uint32_t*, int) noexcept nogil
    void lanes_relu(int, uint32_t*, const uint32_t*, int) noexcept nogil
    void lanes_lt(int, uint8_t*, const uint32_t*, const uint32_t*, int) noexcept nogil
    void lanes_le(int, uint8_t*, const uint32_t*, const uint32_t*, int) noexcept nogil
    void lanes_gt(int, uint8_t*, const uint32_t*, const uint32_t*, int) noexcept nogil
    void lanes_ge(int, uint8_t*, const uint32_t*, const uint32_t*, int) noexcept nogil
    void lanes_eq(int, uint8_t*, const uint32_t*, const uint32_t*, int) noexcept nogil
    void lanes_ne(int, uint8_t*, const uint32_t*, const uint32_t*, int) noexcept nogil
    void lanes_select(uint32_t*, const uint8_t*, const uint32_t*, const uint32_t*, int) noexcept nogil
    void lanes_fill(uint32_t*, uint32_t, int) noexcept nogil
    void join_4(uint32_t*, const uint8_t*, const uint8_t*, const uint8_t*, const uint8_t*, int) noexcept nogil
    void join_2(uint16_t*, const uint8_t*, const uint8_t*, int) noexcept nogil
    void split_4(uint8_t*, uint8_t*, uint8_t*, uint8_t*, const uint32_t*, int) noexcept nogil
    void split_2(uint8_t*, uint8_t*, const uint16_t*, int) noexcept nogil
    void matvec_i8(int32_t*, const int8_t*, const int8_t*, int, int, int) noexcept nogil
    uint32_t advance_f32(uint32_t, double) noexcept nogil
    void gather_lanes(uint8_t*, const uint8_t*, const uint16_t*, int) noexcept nogil
    void choose_lanes(uint8_t*, const uint8_t*, const uint8_t*, const uint8_t*, int) noexcept nogil
    int __builtin_ctzll(unsigned long long) noexcept nogil


cdef void shift_lanes(uint8_t* out, const uint8_t* a, int amount, int wrap, int n) noexcept nogil:
    """Lane l takes lane l - amount."""
    cdef int up
    if wrap:
        up = amount % n
        if up < 0:
            up += n
        memcpy(out + up, a, n - up)
        memcpy(out, a + n - up, up)
        return
    if amount >= n or amount <= -n:
        memset(out, 0, n)
    elif amount >= 0:
        memset(out, 0, amount)
        memcpy(out + amount, a, n - amount)
    else:
        memcpy(out, a - amount, n + amount)
        memset(out + n + amount, 0, -amount)


cdef void rotate_lanes(uint8_t* out, const uint8_t* a, int amount, int block, int n) noexcept nogil:
    cdef int i
    for i in range(n // block):
        shift_lanes(out + i * block, a + i * block, amount, 1, block)


cdef void distribute_lanes(uint8_t* out, const uint8_t* a, const int8_t* entries, int block, int n) noexcept nogil:
    cdef int i, l
    for i in range(n // block):
        for l in range(block):
            out[i * block + l] = a[i * block + entries[l]] if entries[l] < block else 0
