# y = alpha * x + y for 16 vectors of fp32. Shows immediates and chained ALUs.
#
# Read vector_add.s first. New here: two ALUs work as one. The first multiplies and hands its
# result over without any stream; the second adds in the very cycle in which that result is there.

.chip lpu-tiny
.meta kernel "saxpy"
.include "fp32.inc"

# A symbol may come from the command line; this is its value if it does not.
.ifndef ALPHA
.equ ALPHA, 2.5
.endif

.tensor x, fp32, [16, 32], in,  at=w0:0
.tensor y, fp32, [16, 32], in,  at=e0:0
.tensor z, fp32, [16, 32], out, at=e0:0x400      # the other bank: y is read while z is written

.equ ROWS, 16
.equ X_AT_VXM, READ + hops(mem.w2, vxm)          # as early as can be
.equ Y_AT_VXM, X_AT_VXM + MUL                    # y is needed when the product is

load4 x, w, 0, e, 0, vxm, X_AT_VXM, ROWS
load4 y, e, 4, w, 0, vxm, Y_AT_VXM, ROWS

# The destination `_` means: no stream, the result is only for another ALU. 2.5 is the word's
# immediate, one number for all lanes.
.queue vxm.0
     @X_AT_VXM mul.fp32 _, s0.e@(x0, x1, x2, x3), ALPHA
     repeat ROWS - 1, 1

# a0 is what ALU 0 delivers in this cycle: the product that was issued MUL cycles before.
.queue vxm.1
sum: @Y_AT_VXM add.fp32 s8.e, a0, s4.w@(y0, y1, y2, y3)
     repeat ROWS - 1, 1

store4 z, e, 8, e, 0x400, vxm, Y_AT_VXM + ADD, ROWS, sum
