# Products made by a BLAS, in whatever order, rounded as if they were exact. Part of _core.pyx.
#
# For output (i, j), with norms |a_i| and |b_j|: sum|p| <= |a_i| |b_j| (Cauchy-Schwarz). Two proofs:
# - every value of row i is a multiple of a power of two u_i, of column j one of v_j. If |a_i| |b_j|
#   <= 2^53 u_i v_j, all partial sums are integers below 2^53 times u_i v_j: exact, with or without
#   fma. The `grains` |a_i| / u_i and |b_j| / v_j say so at once;
# - else the interval certificate of _exact.pxi, with that bound on sum|p|.
# What neither proves is summed again. The cost is O(MK + KN + MN) beside the product's O(MKN).

cdef extern from *:
    """
/* Largest power of two that divides x, for normal x that are not too small (others give 0); 0 counts
   as divisible by anything. No branches: it runs in lanes. */
PRESIL_INLINE double presil_unit(double x) {
    int64_t u = (int64_t)(presil_bits64(x) & 0x7fffffffffffffffu), m = u & 0xfffffffffffff;
    int64_t power = u - m, least = (int64_t)52 << 52;
    /* The lowest bit of m as a double, times the weight of bit 0. */
    double lowest = presil_f64((uint64_t)(0x4330000000000000 | (m & -m))) - 4503599627370496.0;
    double unit = lowest * presil_f64((uint64_t)(power - least));
    unit = presil_where64(m == 0, presil_f64((uint64_t)power), unit);
    unit = presil_where64(power > least, unit, 0.0);
    return presil_where64(u == 0, presil_f64(0x7ff0000000000000u), unit);
}

/* norm * (1 + 2^-20) absorbs the rounding of the norm itself. grain: Inf if there is no unit. */
PRESIL_INLINE void presil_finish_stats(double squares, double unit, double *norm, double *grain) {
    double bound = sqrt(squares) * (1.0 + 9.5367431640625e-07);
    *norm = bound;
    *grain = bound == 0 ? 0.0 : bound / unit;
}

/* Eight sums at a time, so that the compiler may: the norm is rounded up by more than their order
   can matter. */
PRESIL_CLONES static void presil_row_stats(
    const double *a, ptrdiff_t M, ptrdiff_t K, ptrdiff_t lda, double *norm, double *grain) {
    const double none = presil_f64(0x7ff0000000000000u);
    for (ptrdiff_t i = 0; i < M; i++, a += lda) {
        double squares[8] = {0}, unit[8] = {none, none, none, none, none, none, none, none};
        ptrdiff_t k = 0;
        for (; k + 8 <= K; k += 8)
            PRESIL_ROLLED
            for (ptrdiff_t j = 0; j < 8; j++) {
                double v = a[k + j], w = presil_unit(v);
                squares[j] += v * v;
                unit[j] = w < unit[j] ? w : unit[j];
            }
        for (; k < K; k++) {
            double w = presil_unit(a[k]);
            squares[0] += a[k] * a[k];
            unit[0] = w < unit[0] ? w : unit[0];
        }
        for (ptrdiff_t j = 1; j < 8; j++) {
            squares[0] += squares[j];
            unit[0] = unit[j] < unit[0] ? unit[j] : unit[0];
        }
        presil_finish_stats(squares[0], unit[0], norm + i, grain + i);
    }
}

PRESIL_CLONES static void presil_column_stats(
    const double *b, ptrdiff_t K, ptrdiff_t N, ptrdiff_t ldb, double *norm, double *grain) {
    for (ptrdiff_t j = 0; j < N; j++) norm[j] = 0, grain[j] = presil_f64(0x7ff0000000000000u);
    for (ptrdiff_t k = 0; k < K; k++)
        for (ptrdiff_t j = 0; j < N; j++) {
            double v = b[k * ldb + j], w = presil_unit(v);
            norm[j] += v * v;
            grain[j] = w < grain[j] ? w : grain[j];
        }
    for (ptrdiff_t j = 0; j < N; j++) presil_finish_stats(norm[j], grain[j], norm + j, grain + j);
}

/* One row's candidates: out[j] is the rounding of s[j], good[j] whether that is proved. */
PRESIL_CLONES static int64_t presil_judge(
    const double *s, double norm_a, double grain_a, const double *norm, const double *grain,
    double relative, float *out, int32_t *good, ptrdiff_t n) {
    for (ptrdiff_t j = 0; j < n; j++) {
        double e = norm_a * norm[j] * relative;
        e = presil_where64(grain_a * grain[j] <= 9007199254740992.0, 0.0, e);
        double v = s[j] + 0.0;  /* an exact zero is +0 */
        float low = (float)(v - e), high = (float)(v + e);
        out[j] = low;
        good[j] = presil_bits32(low) == presil_bits32(high);
    }
    int64_t bad = 0;
    for (ptrdiff_t j = 0; j < n; j++) bad += !good[j];
    return bad;
}

/* out = (add ? out : 0) + round(a b), s being a b roughly. Returns how many were summed again. */
static int64_t presil_certify(
    const double *s, const double *a, const double *b, ptrdiff_t M, ptrdiff_t K, ptrdiff_t N,
    ptrdiff_t lda, ptrdiff_t ldb, const double *norm_a, const double *grain_a,
    const double *norm_b, const double *grain_b, float *out, int add) {
    enum { PART = 512 };
    float sums[PART];
    int32_t good[PART];
    int64_t again = 0;
    double relative = (double)(K + 2) * 0x1p-53;
    for (ptrdiff_t i = 0; i < M; i++)
        for (ptrdiff_t j = 0; j < N; j += PART) {
            ptrdiff_t n = N - j < PART ? N - j : PART;
            float *to = out + i * N + j;
            int64_t bad = presil_judge(
                s + i * N + j, norm_a[i], grain_a[i], norm_b + j, grain_b + j, relative,
                sums, good, n);
            for (ptrdiff_t c = 0; bad && c < n; c++)
                if (!good[c]) sums[c] = presil_exact_dot(b + j + c, ldb, a + i * lda, 1, K);
            again += bad;
            if (add) {
                PRESIL_LANES
                for (ptrdiff_t c = 0; c < n; c++) to[c] += sums[c];
                presil_canonical(to, to, n);
            } else {
                memcpy(to, sums, (size_t)n * 4);
            }
        }
    return again;
}
    """
    void presil_row_stats(
        const double *a, Py_ssize_t M, Py_ssize_t K, Py_ssize_t lda,
        double *norm, double *grain) noexcept nogil
    void presil_column_stats(
        const double *b, Py_ssize_t K, Py_ssize_t N, Py_ssize_t ldb,
        double *norm, double *grain) noexcept nogil
    long long presil_certify(
        const double *s, const double *a, const double *b, Py_ssize_t M, Py_ssize_t K,
        Py_ssize_t N, Py_ssize_t lda, Py_ssize_t ldb, const double *norm_a, const double *grain_a,
        const double *norm_b, const double *grain_b, float *out, int add) noexcept nogil


def row_stats(const double[:, ::1] a, double[::1] norm, double[::1] grain):
    """Norm (rounded up) and norm / unit of every row of a, into arrays of their number."""
    if norm.shape[0] != a.shape[0] or grain.shape[0] != a.shape[0]:
        raise ValueError("norm and grain need one element for each row")
    if a.shape[0] and a.shape[1]:
        with nogil:
            presil_row_stats(&a[0, 0], a.shape[0], a.shape[1], a.shape[1], &norm[0], &grain[0])


def column_stats(const double[:, ::1] b, double[::1] norm, double[::1] grain):
    """The same of every column of b."""
    if norm.shape[0] != b.shape[1] or grain.shape[0] != b.shape[1]:
        raise ValueError("norm and grain need one element for each column")
    if b.shape[0] and b.shape[1]:
        with nogil:
            presil_column_stats(&b[0, 0], b.shape[0], b.shape[1], b.shape[1], &norm[0], &grain[0])


def certify(
        const double[:, ::1] s, const double[:, ::1] a, const double[:, ::1] b,
        const double[::1] norm_a, const double[::1] grain_a,
        const double[::1] norm_b, const double[::1] grain_b, float[:, ::1] out, bint add):
    """out = exact a @ b rounded once, given s = a @ b in float64; `add`: added to out in float32.

    Statistics as from row_stats(a) and column_stats(b), all finite. Returns the number of outputs
    that had to be summed again.
    """
    cdef Py_ssize_t m = a.shape[0], k = a.shape[1], n = b.shape[1]
    cdef long long again = 0
    if (b.shape[0] != k or s.shape[0] != m or s.shape[1] != n or out.shape[0] != m
            or out.shape[1] != n or norm_a.shape[0] != m or grain_a.shape[0] != m
            or norm_b.shape[0] != n or grain_b.shape[0] != n):
        raise ValueError("the shapes do not belong together")
    if m and n and k:
        with nogil:
            again = presil_certify(
                &s[0, 0], &a[0, 0], &b[0, 0], m, k, n, k, n, &norm_a[0], &grain_a[0],
                &norm_b[0], &grain_b[0], &out[0, 0], add)
    return again
