# Elementary functions on float32. Part of _core.pyx.
#
# Each is computed in double with a relative error below 2^-38 and rounded to float32 once, so the
# result is within 0.5 + 2^-14 ulp. Only +, -, *, / and sqrt are used, which IEEE 754 defines to the
# last bit.

cdef extern from *:
    """
#include <math.h>  /* sqrt alone, which is an instruction or correctly rounded */

/* sqrt may set errno, which keeps the compiler from vectorising it. Safe on x86-64, where
   no clone has fma: forgetting -ffp-contract, as old compilers do there, changes nothing. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define PRESIL_NO_ERRNO __attribute__((optimize("no-math-errno")))
#else
#define PRESIL_NO_ERRNO
#endif

#define PRESIL_ROUND 6755399441055744.0  /* 1.5 * 2^52: x + this - this is x to nearest even */
#define PRESIL_LN2 0x1.62e42fefa39efp-1
#define PRESIL_INF32 0x7f800000u

PRESIL_INLINE float presil_where(int condition, float a, float b) {
    return presil_f32(presil_pick(condition, presil_bits32(a), presil_bits32(b)));
}
PRESIL_INLINE double presil_where64(int condition, double a, double b) {
    uint64_t mask = -(uint64_t)condition;
    return presil_f64((presil_bits64(a) & mask) | (presil_bits64(b) & ~mask));
}
PRESIL_INLINE float presil_or_nan(float x, float result) {
    return presil_where(x == x, result, presil_f32(PRESIL_NAN));
}

/* e^r * 2^n for |r| <= ln(2)/2, n the integer added to PRESIL_ROUND. Taylor; next term < 2^-41. */
PRESIL_INLINE double presil_exp_part(double r, double rounded) {
    double p = 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 1.0 / 2;
    p = p * r + 1.0;
    p = p * r + 1.0;
    return presil_f64(presil_bits64(p) + (presil_bits64(rounded) << 52));
}

/* e^x for |x| < 700. n * ln2 is exact in its high part: n has 8 bits here, the constant 33. */
PRESIL_INLINE double presil_exp64(double x) {
    double rounded = x * 0x1.71547652b82fep+0 + PRESIL_ROUND, n = rounded - PRESIL_ROUND;
    double r = (x - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33;
    return presil_exp_part(r, rounded);
}

PRESIL_INLINE float presil_exp2(float x) {
    double t = (double)x;
    t = presil_where64(t < -160.0, -160.0, t);  /* beyond, the cast gives 0 or Inf already */
    t = presil_where64(t > 140.0, 140.0, t);
    double rounded = t + PRESIL_ROUND, r = t - (rounded - PRESIL_ROUND);
    return presil_or_nan(x, (float)presil_exp_part(r * PRESIL_LN2, rounded));
}

PRESIL_INLINE float presil_exp(float x) {
    double t = (double)x;
    t = presil_where64(t < -120.0, -120.0, t);
    t = presil_where64(t > 100.0, 100.0, t);
    return presil_or_nan(x, (float)presil_exp64(t));
}

/* x = 2^k m, m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh(s), s = (m - 1)/(m + 1), |s| < 0.172. */
PRESIL_INLINE float presil_ln(float x) {
    uint64_t offset = presil_bits64((double)x) - 0x3fe6a09e667f3bcdu + ((uint64_t)1024 << 52);
    uint64_t k = offset >> 52;
    double m = presil_f64((offset & 0xfffffffffffffu) + 0x3fe6a09e667f3bcdu);
    double e = presil_f64(0x4330000000000000u | k) - (4503599627370496.0 + 1024.0);
    double s = (m - 1.0) / (m + 1.0), z = s * s;
    double p = 1.0 / 17;
    p = p * z + 1.0 / 15;
    p = p * z + 1.0 / 13;
    p = p * z + 1.0 / 11;
    p = p * z + 1.0 / 9;
    p = p * z + 1.0 / 7;
    p = p * z + 1.0 / 5;
    p = p * z + 1.0 / 3;
    float y = (float)(e * PRESIL_LN2 + (s + s) * (1.0 + z * p));
    y = presil_where(x == 0.0f, presil_f32(0x80000000u | PRESIL_INF32), y);
    y = presil_where(x == presil_f32(PRESIL_INF32), x, y);
    return presil_where(x >= 0.0f, y, presil_f32(PRESIL_NAN));
}

PRESIL_INLINE float presil_sqrt(float x) {
    /* Rounding twice is innocuous here: 53 >= 2 * 24 + 2 (Figueroa). */
    return presil_where(x >= 0.0f, (float)sqrt((double)x), presil_f32(PRESIL_NAN));
}

PRESIL_INLINE float presil_rsqrt(float x) {
    /* -0 gives -Inf, as IEEE 754 has it. */
    return presil_where(x >= 0.0f, (float)(1.0 / sqrt((double)x)), presil_f32(PRESIL_NAN));
}

PRESIL_INLINE float presil_tanh(float x) {
    double t = (double)x, y = __builtin_fabs(t), z = y * y;
    double series = y + y * z * (z * (2.0 / 15) - 1.0 / 3);  /* next term 17/315 y^7 */
    y = presil_where64(y > 20.0, 20.0, y);
    double e = presil_exp64(y + y), quotient = (e - 1.0) / (e + 1.0);
    float r = presil_where(y < 0.0078125, (float)series, (float)quotient);
    return presil_or_nan(x, presil_f32(presil_bits32(r) | (presil_bits32(x) & 0x80000000u)));
}

/* erf around i/8, i = 0..32, as polynomials in the distance; filled at import (_erf_table.py). */
#define PRESIL_ERF_ROWS 33
#define PRESIL_ERF_TERMS 10
static double presil_erf_table[PRESIL_ERF_ROWS * PRESIL_ERF_TERMS];

PRESIL_INLINE float presil_erf(float x) {
    double y = __builtin_fabs((double)x);
    y = presil_where64(y < 4.0, y, 4.0);  /* erf(4) rounds to 1; NaN is put right below */
    double rounded = y * 8.0 + PRESIL_ROUND, h = y - (rounded - PRESIL_ROUND) * 0.125;
    int64_t i = (int64_t)(presil_bits64(rounded) & 63) * PRESIL_ERF_TERMS;
    double p = presil_erf_table[i + 9];
    p = p * h + presil_erf_table[i + 8];
    p = p * h + presil_erf_table[i + 7];
    p = p * h + presil_erf_table[i + 6];
    p = p * h + presil_erf_table[i + 5];
    p = p * h + presil_erf_table[i + 4];
    p = p * h + presil_erf_table[i + 3];
    p = p * h + presil_erf_table[i + 2];
    p = p * h + presil_erf_table[i + 1];
    p = p * h + presil_erf_table[i + 0];
    return presil_or_nan(x, presil_f32(presil_bits32((float)p) | (presil_bits32(x) & 0x80000000u)));
}

#define PRESIL_VECTOR(NAME, SCALAR)                                                               \\
PRESIL_NO_ERRNO PRESIL_CLONES static void NAME(const float *x, float *out, ptrdiff_t n) {         \\
    PRESIL_LANES                                                                                  \\
    for (ptrdiff_t i = 0; i < n; i++) out[i] = SCALAR(x[i]);                                      \\
}
PRESIL_VECTOR(presil_vec_exp2, presil_exp2)
PRESIL_VECTOR(presil_vec_exp, presil_exp)
PRESIL_VECTOR(presil_vec_ln, presil_ln)
PRESIL_VECTOR(presil_vec_sqrt, presil_sqrt)
PRESIL_VECTOR(presil_vec_rsqrt, presil_rsqrt)
PRESIL_VECTOR(presil_vec_tanh, presil_tanh)
PRESIL_VECTOR(presil_vec_erf, presil_erf)
    """
    const int PRESIL_ERF_ROWS
    const int PRESIL_ERF_TERMS
    double presil_erf_table[]
    float presil_exp2(float x) noexcept nogil
    float presil_exp(float x) noexcept nogil
    float presil_ln(float x) noexcept nogil
    float presil_sqrt(float x) noexcept nogil
    float presil_rsqrt(float x) noexcept nogil
    float presil_tanh(float x) noexcept nogil
    float presil_erf(float x) noexcept nogil
    void presil_vec_exp2(const float *x, float *out, Py_ssize_t n) noexcept nogil
    void presil_vec_exp(const float *x, float *out, Py_ssize_t n) noexcept nogil
    void presil_vec_ln(const float *x, float *out, Py_ssize_t n) noexcept nogil
    void presil_vec_sqrt(const float *x, float *out, Py_ssize_t n) noexcept nogil
    void presil_vec_rsqrt(const float *x, float *out, Py_ssize_t n) noexcept nogil
    void presil_vec_tanh(const float *x, float *out, Py_ssize_t n) noexcept nogil
    void presil_vec_erf(const float *x, float *out, Py_ssize_t n) noexcept nogil


cdef float exp2_f32(float x) noexcept nogil:
    return presil_exp2(x)


cdef float exp_f32(float x) noexcept nogil:
    return presil_exp(x)


cdef float ln_f32(float x) noexcept nogil:
    return presil_ln(x)


cdef float sqrt_f32(float x) noexcept nogil:
    return presil_sqrt(x)


cdef float rsqrt_f32(float x) noexcept nogil:
    return presil_rsqrt(x)


cdef float tanh_f32(float x) noexcept nogil:
    return presil_tanh(x)


cdef float erf_f32(float x) noexcept nogil:
    return presil_erf(x)


cdef void vec_exp2(const float* x, float* out, Py_ssize_t n) noexcept nogil:
    presil_vec_exp2(x, out, n)


cdef void vec_exp(const float* x, float* out, Py_ssize_t n) noexcept nogil:
    presil_vec_exp(x, out, n)


cdef void vec_ln(const float* x, float* out, Py_ssize_t n) noexcept nogil:
    presil_vec_ln(x, out, n)


cdef void vec_sqrt(const float* x, float* out, Py_ssize_t n) noexcept nogil:
    presil_vec_sqrt(x, out, n)


cdef void vec_rsqrt(const float* x, float* out, Py_ssize_t n) noexcept nogil:
    presil_vec_rsqrt(x, out, n)


cdef void vec_tanh(const float* x, float* out, Py_ssize_t n) noexcept nogil:
    presil_vec_tanh(x, out, n)


cdef void vec_erf(const float* x, float* out, Py_ssize_t n) noexcept nogil:
    presil_vec_erf(x, out, n)
