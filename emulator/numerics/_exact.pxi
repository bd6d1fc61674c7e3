# Exact products. Part of _core.pyx.
#
# One pass in double gives s = sum of p and t = sum of |p|, p the products, each exact. In whatever
# order the sum was made, |s - exact| <= (K-1) 2^-53 sum|p| to first order, so e = (K+2) 2^-53 t
# bounds it with room for the roundings of t, of e, and of s-e and s+e below. Rounding s to float32
# would round twice: s may have landed on a tie, or crossed one, that the exact sum does not see.
# But rounding is monotonic: if s-e and s+e round to the same float32, so does everything between,
# the exact sum included. The few outputs for which they differ are summed again exactly.

cdef extern from *:
    """
typedef double presil_4d __attribute__((vector_size(32), aligned(8)));
typedef int64_t presil_4i __attribute__((vector_size(32), aligned(8)));

/* A macro: vectors as arguments are an ABI question. */
#define PRESIL_NO_SIGN ((presil_4i){INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX})
#define PRESIL_ABS4(P) ((presil_4d)((presil_4i)(P) & PRESIL_NO_SIGN))
#define PRESIL_MAX64 1.7976931348623157e308
#define PRESIL_AT(W) (*(const presil_4d *)(W))

/* s[n] = sum over k of w[k][n] x[k], t[n] the same of magnitudes. Four rows a pass quarter the
   traffic on s and t; w is read in order, as the prefetchers like it. */
PRESIL_CLONES static void presil_sums(
    const double *w, const double *x, ptrdiff_t K, ptrdiff_t N, ptrdiff_t ldw,
    double *s, double *t) {
    for (ptrdiff_t n = 0; n < N; n++) s[n] = t[n] = 0;
    ptrdiff_t k = 0;
    for (; k + 4 <= K; k += 4) {
        const double *w0 = w + k * ldw, *w1 = w0 + ldw, *w2 = w1 + ldw, *w3 = w2 + ldw;
        double x0 = x[k], x1 = x[k + 1], x2 = x[k + 2], x3 = x[k + 3];
        ptrdiff_t n = 0;
        for (; n + 4 <= N; n += 4) {
            presil_4d p0 = PRESIL_AT(w0 + n) * x0, p1 = PRESIL_AT(w1 + n) * x1;
            presil_4d p2 = PRESIL_AT(w2 + n) * x2, p3 = PRESIL_AT(w3 + n) * x3;
            *(presil_4d *)(s + n) = PRESIL_AT(s + n) + p0 + p1 + p2 + p3;
            *(presil_4d *)(t + n) = PRESIL_AT(t + n)
                + ((PRESIL_ABS4(p0) + PRESIL_ABS4(p1)) + (PRESIL_ABS4(p2) + PRESIL_ABS4(p3)));
        }
        for (; n < N; n++) {
            double p0 = w0[n] * x0, p1 = w1[n] * x1, p2 = w2[n] * x2, p3 = w3[n] * x3;
            s[n] = s[n] + p0 + p1 + p2 + p3;
            t[n] += (__builtin_fabs(p0) + __builtin_fabs(p1))
                  + (__builtin_fabs(p2) + __builtin_fabs(p3));
        }
    }
    for (; k < K; k++) {
        PRESIL_LANES
        for (ptrdiff_t n = 0; n < N; n++) {
            double p = w[k * ldw + n] * x[k];
            s[n] += p;
            t[n] += __builtin_fabs(p);
        }
    }
}

PRESIL_CLONES static void presil_plain(
    const double *w, const double *x, ptrdiff_t K, ptrdiff_t N, ptrdiff_t ldw, double *s) {
    for (ptrdiff_t n = 0; n < N; n++) s[n] = 0;
    ptrdiff_t k = 0;
    for (; k + 4 <= K; k += 4) {
        const double *w0 = w + k * ldw, *w1 = w0 + ldw, *w2 = w1 + ldw, *w3 = w2 + ldw;
        double x0 = x[k], x1 = x[k + 1], x2 = x[k + 2], x3 = x[k + 3];
        PRESIL_LANES
        for (ptrdiff_t n = 0; n < N; n++)
            s[n] = s[n] + w0[n] * x0 + w1[n] * x1 + w2[n] * x2 + w3[n] * x3;
    }
    for (; k < K; k++) {
        PRESIL_LANES
        for (ptrdiff_t n = 0; n < N; n++) s[n] += w[k * ldw + n] * x[k];
    }
}

/* Kulisch accumulator: fixed point with 32 bits in each 64-bit limb, bit 0 worth 2^-1074. Every
   double fits, and 2^31 of them may be added before a carry is needed. */
#define PRESIL_LIMBS 70
typedef struct { int64_t limb[PRESIL_LIMBS]; } presil_wide;

PRESIL_INLINE void presil_wide_add(presil_wide *a, double p) {
    uint64_t u = presil_bits64(p), m = u & 0xfffffffffffffu;
    int e = (int)(u >> 52 & 2047);
    if (e) m |= (uint64_t)1 << 52; else e = 1;
    int bit = e - 1, shift = bit & 31;
    uint64_t low = (m & 0xffffffffu) << shift, high = (m >> 32) << shift;
    int64_t parts[3] = {
        (int64_t)(low & 0xffffffffu),
        (int64_t)((low >> 32) + (high & 0xffffffffu)),
        (int64_t)(high >> 32),
    };
    int64_t sign = -(int64_t)(u >> 63), *limb = a->limb + (bit >> 5);
    for (int i = 0; i < 3; i++) limb[i] += (parts[i] ^ sign) - sign;
}

/* Nearest even to float32 of w * 2^e, 1 <= w < 2: 64 bits of w, the first one set, and whether
   any follow. */
static float presil_round_window(uint32_t sign, uint64_t window, int sticky, int e) {
    int unit = (e < -126 ? -126 : e) - 23, shift = 63 - (e - unit);
    if (shift > 64) return presil_f32(sign);
    uint64_t kept = shift == 64 ? 0 : window >> shift, half = (uint64_t)1 << (shift - 1);
    uint64_t rest = shift == 64 ? window : window & ((half << 1) - 1);
    kept += rest > half || (rest == half && (sticky || (kept & 1)));
    uint64_t code = e < -126 ? kept : ((uint64_t)(e + 127) << 23) + kept - 0x800000u;
    return presil_f32(sign | (uint32_t)(e > 127 || code > PRESIL_INF32 ? PRESIL_INF32 : code));
}

/* Nearest even to float32; zero gives +0. Spoils a. */
static float presil_wide_round(presil_wide *a) {
    int64_t carry = 0;
    for (int i = 0; i < PRESIL_LIMBS; i++) {
        int64_t v = a->limb[i] + carry;
        a->limb[i] = v & 0xffffffff;
        carry = v >> 32;
    }
    uint32_t sign = carry < 0 ? 0x80000000u : 0;
    if (sign) {
        carry = 1;
        for (int i = 0; i < PRESIL_LIMBS; i++) {
            int64_t v = (a->limb[i] ^ 0xffffffff) + carry;
            a->limb[i] = v & 0xffffffff;
            carry = v >> 32;
        }
    }
    int top = PRESIL_LIMBS - 1;
    while (top >= 0 && !a->limb[top]) top--;
    if (top < 0) return 0.0f;
    uint64_t l0 = (uint64_t)a->limb[top], l1 = top > 0 ? (uint64_t)a->limb[top - 1] : 0;
    uint64_t l2 = top > 1 ? (uint64_t)a->limb[top - 2] : 0;
    int lead = 0;
    while (!(l0 << lead & 0x80000000u)) lead++;
    uint64_t window = (l0 << 32 | l1) << lead;  /* 64 bits, the first one set */
    if (lead) window |= l2 >> (32 - lead);
    int sticky = (l2 << lead & 0xffffffffu) != 0;
    for (int i = top - 3; i >= 0 && !sticky; i--) sticky = a->limb[i] != 0;

    return presil_round_window(sign, window, sticky, 32 * top + 31 - lead - 1074);
}

#ifdef __SIZEOF_INT128__
/* The same in 128 bits: for products whose exponents, from the biased `low` on, differ by at most
   52, and K <= 2^20: 53 + 52 + 20 bits and a sign. */
static float presil_narrow_dot(
    const double *a, ptrdiff_t step_a, const double *b, ptrdiff_t step_b, ptrdiff_t K, int low) {
    __int128 sum = 0;
    for (ptrdiff_t k = 0; k < K; k++) {
        uint64_t u = presil_bits64(a[k * step_a] * b[k * step_b]);
        int e = (int)(u >> 52 & 2047);
        int64_t sign = -(int64_t)(u >> 63);
        int64_t m = (int64_t)((u & 0xfffffffffffffu) | (uint64_t)1 << 52);
        m = e ? (m ^ sign) - sign : 0;
        sum += (__int128)((unsigned __int128)(__int128)m << ((e - low) & 127));
    }
    if (sum == 0) return 0.0f;
    uint32_t sign = sum < 0 ? 0x80000000u : 0;
    unsigned __int128 v = sum < 0 ? -(unsigned __int128)sum : (unsigned __int128)sum;
    int top = 127;
    while (!(v >> top & 1)) top--;
    v <<= 127 - top;
    return presil_round_window(sign, (uint64_t)(v >> 64), (uint64_t)v != 0, top + low - 1075);
}
#endif

static float presil_wide_dot(
    const double *a, ptrdiff_t step_a, const double *b, ptrdiff_t step_b, ptrdiff_t K) {
    presil_wide wide;
    double plain = 0;
    memset(&wide, 0, sizeof wide);
    for (ptrdiff_t k = 0; k < K; k++) {
        double p = a[k * step_a] * b[k * step_b];
        plain += p;
        if ((presil_bits64(p) >> 52 & 2047) < 2047) presil_wide_add(&wide, p);
    }
    if (plain != plain) return presil_f32(PRESIL_NAN);
    if (__builtin_fabs(plain) > PRESIL_MAX64) return (float)plain;
    return presil_wide_round(&wide);
}

/* The double sum, and whether it is exact: the error of each addition is itself a double (Knuth's
   TwoSum). Ties and zeros, which no certificate decides, are as a rule sums of few bits. */
static int presil_exact_sum(
    const double *a, ptrdiff_t step_a, const double *b, ptrdiff_t step_b, ptrdiff_t K,
    double *out) {
    double sum = 0;
    uint64_t lost = 0;
    for (ptrdiff_t k = 0; k < K; k++) {
        double p = a[k * step_a] * b[k * step_b], next = sum + p, part = next - sum;
        lost |= presil_bits64((sum - (next - part)) + (p - part)) << 1;
        sum = next;
    }
    *out = sum;
    return lost == 0;
}

/* presil_wide_dot for finite products, by the cheapest means. */
static float presil_exact_dot(
    const double *a, ptrdiff_t step_a, const double *b, ptrdiff_t step_b, ptrdiff_t K) {
    double sum;
    if (presil_exact_sum(a, step_a, b, step_b, K, &sum)) return sum == 0 ? 0.0f : (float)sum;
#ifdef __SIZEOF_INT128__
    int low = 2047, high = 0, tiny = 0;
    for (ptrdiff_t k = 0; k < K; k++) {
        uint64_t u = presil_bits64(a[k * step_a] * b[k * step_b]) & 0x7fffffffffffffffu;
        int e = (int)(u >> 52);
        tiny |= e == 0 && u;
        high = e > high ? e : high;
        low = e && e < low ? e : low;
    }
    if (!tiny && high - low <= 52 && K <= 1 << 20)
        return presil_narrow_dot(a, step_a, b, step_b, K, low);
#endif
    return presil_wide_dot(a, step_a, b, step_b, K);
}

PRESIL_INLINE int presil_certified(double s, double t, double relative, float *out) {
    double e = t * relative;
    float low = (float)(s - e), high = (float)(s + e);
    *out = low;
    return presil_bits32(low) == presil_bits32(high);
}

/* t is Inf or NaN as soon as one product is; then s is what IEEE arithmetic gives in any order. */
static void presil_exact_matvec(
    const double *w, const double *x, ptrdiff_t K, ptrdiff_t N, ptrdiff_t ldw, float *out,
    double *scratch) {
    double *s = scratch, *t = scratch + N, relative = (double)(K + 2) * 0x1p-53;
    presil_sums(w, x, K, N, ldw, s, t);
    for (ptrdiff_t n = 0; n < N; n++) {
        if (t[n] == 0) out[n] = 0.0f;
        else if (!(t[n] <= PRESIL_MAX64))
            out[n] = s[n] == s[n] ? (float)s[n] : presil_f32(PRESIL_NAN);
        else if (!presil_certified(s[n], t[n], relative, out + n))
            out[n] = presil_exact_dot(w + n, ldw, x, 1, K);
    }
}
    """
    void presil_exact_matvec(
        const double *w, const double *x, Py_ssize_t K, Py_ssize_t N, Py_ssize_t ldw,
        float *out, double *scratch) noexcept nogil
    float presil_wide_dot(
        const double *a, Py_ssize_t step_a, const double *b, Py_ssize_t step_b,
        Py_ssize_t K) noexcept nogil
    void presil_plain(
        const double *w, const double *x, Py_ssize_t K, Py_ssize_t N, Py_ssize_t ldw,
        double *s) noexcept nogil


cdef void exact_matvec(
        const double* w, const double* x, int K, int N, int ldw,
        float* out, double* scratch) noexcept nogil:
    presil_exact_matvec(w, x, K, N, ldw, out, scratch)


cdef void exact_matmul(
        const double* a, const double* b, Py_ssize_t M, Py_ssize_t K, Py_ssize_t N,
        Py_ssize_t lda, Py_ssize_t ldb, float* out, Py_ssize_t ldo, double* scratch) noexcept nogil:
    cdef Py_ssize_t m
    for m in range(M):
        presil_exact_matvec(b, a + m * lda, K, N, ldb, out + m * ldo, scratch)


cdef float exact_dot_strided(
        const double* a, Py_ssize_t stride_a, const double* b, Py_ssize_t stride_b,
        Py_ssize_t K) noexcept nogil:
    return presil_wide_dot(a, stride_a, b, stride_b, K)


cdef void plain_matvec(
        const double* w, const double* x, int K, int N, int ldw, double* out) noexcept nogil:
    presil_plain(w, x, K, N, ldw, out)


cdef Py_ssize_t exact_k(int fmt_a, int fmt_b) noexcept nogil:
    # Every product is an integer up to span * span times one unit; float64 counts to 2^53.
    cdef double k = 9007199254740992.0 / presil_formats[fmt_a].span / presil_formats[fmt_b].span
    return <Py_ssize_t>k if k < 4e18 else <Py_ssize_t>4000000000000000000
