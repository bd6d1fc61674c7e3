# m[j] = max over i of x[i, j]: the maximum of 16 vectors, lane by lane. Shows state in an ALU.
#
# `runmax` keeps a running maximum in its ALU: `start` begins anew, `emit` delivers what has been
# gathered. Only large ALUs can do it (the chip file lists them; 0 is one, and so is 1).
#
# There is no reduction across lanes on this machine. To take the maximum over an axis, let that
# axis run over successive vectors, as here, or see row_sum.s.

.chip lpu-tiny
.meta kernel "running_max"
.include "fp32.inc"

.tensor x, fp32, [16, 32], in,  at=w0:0
.tensor m, fp32, [32],     out, at=w0:0x400

.equ ROWS, 16
.equ START, READ + hops(mem.w2, vxm)

load4 x, w, 0, e, 0, vxm, START, ROWS

# Sixteen issues in a row on one ALU: the first starts, the last emits, those between only gather.
.queue vxm.0
      @START runmax.fp32 _, s0.e@(x0, x1, x2, x3), start
      runmax.fp32 _, s0.e@(x0, x1, x2, x3)
      repeat ROWS - 3, 1
last: runmax.fp32 s4.w, s0.e@(x0, x1, x2, x3), emit

# A label in an expression is the cycle in which its instruction issues.
store4 m, w, 4, w, 0x400, vxm, last + MAX, 1, last
