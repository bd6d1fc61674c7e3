# Quantises x [16, 64], fp32, to mxfp8: 8-bit floats e4m3 with one power of two per 32 elements.
#
# For every block of 32 elements the largest magnitude gives the scale: its exponent less 8, because
# the largest e4m3 number is 448 = 1.75 * 2^8 (OCP MX v1.0, section 6.3). A scale is stored as one
# byte, e8m0: the exponent plus 127. The elements are divided by it and converted, the few that are
# still too large become 448.
#
# No logarithm and no division is needed: fp32 keeps its exponent in bits 23 to 30, so integer
# instructions on the same registers take it out and make a factor of it.
#
# Four vector sub-cores take four rows each. vector_add_simd.s explains pipes and flags.

.chip npu-tiny
.meta kernel "quantize"
.meta blocks 4

.equ X, 0x0000
.equ Y, 0x2000
.equ SCALES, 0x3000
.equ ROWS, 16
.equ COLS, 64                           # one register, two blocks
.tensor x, fp32, [ROWS, COLS], in,  at=X
.tensor y, e4m3, [ROWS, COLS], out, at=Y
.tensor scale, e8m0, [ROWS, COLS / 32], out, at=SCALES

.equ MINE, ROWS / 4

.core vector
    sr.block x1
    mul   x2, x1, MINE * COLS * 4
    add   x2, x2, X
    mul   x3, x1, MINE * COLS
    add   x3, x3, Y
    mul   x4, x1, MINE * COLS / 32
    add   x4, x4, SCALES
    mov   x5, 0                         # UB: x at 0,
    mov   x6, 4096                      # codes at 4,096,
    mov   x7, 5120                      # scales at 5,120
    mov   x8, MINE * COLS
    mov   x9, MINE * COLS / 32
    load.ub.b32 x5, x2, x8
    set_flag.mte2.v 0
    wait_flag.mte2.v 0
    vcall quantize, x5, 3
    set_flag.v.mte3 0
    wait_flag.v.mte3 0
    store.gm.b8 x3, x6, x8
    store.gm.b8 x4, x7, x9
    end

# x1: elements, x2: codes, x3: scales.
.simd quantize
    # v10: the block that a lane belongs to, 0 in lanes 0-31 and 1 in lanes 32-63.
    vindex.uint32 v10, 0
    vshr.uint32   v10, v10, 5
    vdup.int32    v11, 254
    pcount.b8     p0, COLS / 32
    loop MINE, done
    vld.b32.norm  v0, x1, post=COLS * 4
    # The largest magnitude of each group of 32 lanes: elements 0 and 1 of v1.
    vabs.fp32     v1, v0
    vred.max.fp32.g32 v1, v1
    # Its exponent, biased by 127 as the scale's code is; less 8, at least the smallest scale.
    vshr.uint32   v2, v1, 23
    vsub.int32    v2, v2, 8
    vmax.int32    v2, v2, 0
    # pack4 stores the lowest byte of each lane; the mask lets the first two out.
    vst.b8.pack4  v2, x3, post=COLS / 32, mask=p0
    # 1 / scale is the power of two with the opposite exponent: 254 less the code is its biased one.
    vsub.int32    v3, v11, v2
    vshl.int32    v3, v3, 23
    vperm.b32     v3, v3, v10           # every lane takes its block's factor
    vmul.fp32     v0, v0, v3            # exact, a power of two
    # The only rounding, to nearest even; sat: too large becomes 448. Codes are bytes in 32-bit
    # lanes, and pack4 puts them together.
    vcvt.fp32.e4m3 v0, v0, sat
    vst.b8.pack4  v0, x2, post=COLS
done:
    end
