# y[i, :] = softmax of x[i, :], 24 rows of 50 numbers in fp32: exp(x - max) / sum of the same.
#
# Each of four vector sub-cores takes six rows: MTE2 copies them to UB, V works on them in one SIMD
# function, MTE3 copies the result back. vector_add_simd.s explains who they are and what flags do.
#
# A row fits into one vector register (64 lanes of 32 bits). The chip reduces over all lanes of a
# register; `vdup` spreads the result, which is element 0, over all lanes again.

.chip npu-tiny
.meta kernel "softmax"
.meta blocks 4

.equ X, 0x0000
.equ Y, 0x2000
.equ ROWS, 24
.equ COLS, 50
.tensor x, fp32, [ROWS, COLS], in,  at=X
.tensor y, fp32, [ROWS, COLS], out, at=Y

.equ MINE, ROWS / 4                     # rows of a block
# In UB each row starts a register's length behind the one before; the 14 lanes too many in between
# hold nothing.
.equ PITCH, 256

.core vector
    sr.block x1
    mul   x1, x1, MINE * COLS * 4       # where my rows begin, in bytes
    add   x2, x1, X
    add   x3, x1, Y
    mov   x4, 0                         # x at 0 in UB,
    mov   x5, 4096                      # y at 4,096
    mov   x6, COLS
    mov   x7, MINE
    mov   x8, PITCH
    # One instruction for all six rows: in global memory they touch, in UB they lie PITCH apart.
    load.ub.b32 x4, x2, x6, rows=x7, dst_pitch=x8
    set_flag.mte2.v 0
    wait_flag.mte2.v 0
    vcall softmax, x4, 2                # x4 and x5, which the function calls x1 and x2
    set_flag.v.mte3 0
    wait_flag.v.mte3 0
    store.gm.b32 x3, x5, x6, rows=x7, src_pitch=x8
    end

.simd softmax
    pcount.b32 p0, COLS                 # the lanes that hold numbers
    # A hardware loop: the words up to `rows_done`, MINE times, at no cost of its own. Rows have
    # nothing to do with each other, so V begins the next while this one still waits for results.
    loop MINE, rows_done
    vld.b32.norm  v0, x1, post=PITCH    # the row; x1 moves on to the next
    vred.max.fp32.all v1, v0, mask=p0
    vdup.fp32     v1, v1
    vsub.fp32     v2, v0, v1
    vexp.fp32     v2, v2, mask=p0       # lanes outside the mask become 0 and add nothing
    vred.sum.fp32.all v3, v2
    vdup.fp32     v3, v3
    vdiv.fp32     v2, v2, v3
    vst.b32.norm  v2, x2, post=PITCH, mask=p0
rows_done:
    end
