# y[i, j] = exp(x[i, j] - m[j]) / sum over i of the same, m[j] the maximum over i. All in fp32.
#
# The softmax runs over successive vectors, each lane for itself, so no data crosses lanes: 32
# softmaxes of length 16 at once. Three passes over the rows, and what one pass needs from the
# one before goes through memory:
#     1  m = running maximum of x
#     2  e = 2 ^ ((x - m) * log2 e), and s = running sum of e
#     3  y = e / s; there is no divide, but 1 / s is the square of 1 / sqrt(s)

.chip lpu-tiny
.meta kernel "softmax_small"
.include "fp32.inc"

.equ ROWS, 16
.equ EXP2,  latency(vxm.exp2)
.equ RSQRT, latency(vxm.rsqrt)
.equ WRITE, latency(mem.write)
.equ LOG2E, 1.4426950408889634

# A slice reads and writes in one cycle only in different banks (address bit 10). e is written
# when the last of x has been read, so both may be in the lower bank; y is written while e is read.
.tensor x, fp32, [ROWS, 32], in,      at=w0:0
.tensor y, fp32, [ROWS, 32], out,     at=w0:0x400
.tensor e, fp32, [ROWS, 32], scratch, at=w0:0x100
.tensor m, fp32, [32],       scratch, at=e0:0
.tensor r, fp32, [32],       scratch, at=e0:1

# ---- 1: the maximum ---------------------------------------------------------------------------

.equ T1, READ + hops(mem.w2, vxm)
load4 x, w, 0, e, 0, vxm, T1, ROWS
.queue vxm.0
        @T1 runmax.fp32 _, s0.e@(x0, x1, x2, x3), start
        runmax.fp32 _, s0.e@(x0, x1, x2, x3)
        repeat ROWS - 3, 1
highest: runmax.fp32 s0.e, s0.e@(x0, x1, x2, x3), emit
store4 m, e, 0, e, 0, vxm, highest + MAX, 1, highest

# ---- 2: the exponentials and their sum ----------------------------------------------------------

# m is written to e2 and e3, the farther ones, in cycle m3 (a label's cycle). WRITE cycles later it
# is in memory, the cycle after it can be read, and the way back to the VXM takes READ and two
# hops. It is read once per row, always from the same address (stride 0).
.equ T2, m3 + WRITE + 1 + READ + hops(mem.e2, vxm)
load4 again, w, 0, e, 0, vxm, T2, ROWS
load4 top,   e, 4, w, 0, vxm, T2, ROWS, 0

# Four ALUs in a chain, each issuing when the one before delivers. exp2 and runmax need a large
# ALU (the chip file says which), the others do not. The exponentials leave westward to be kept
# and are at the same time summed up.
.queue vxm.2
        @T2 sub.fp32 _, s0.e@(again0, again1, again2, again3), s4.w@(top0, top1, top2, top3)
        repeat ROWS - 1, 1
.queue vxm.3
        @T2 + ADD mul.fp32 _, a2, LOG2E
        repeat ROWS - 1, 1
.queue vxm.1
power:  @T2 + ADD + MUL exp2.fp32 s8.w, a3
        repeat ROWS - 1, 1
.equ SUM, T2 + ADD + MUL + EXP2
store4 e, w, 8, w, 0x100, vxm, SUM, ROWS, power

.queue vxm.6
        @SUM runsum.fp32 _, a1, start
        runsum.fp32 _, a1
        repeat ROWS - 3, 1
        runsum.fp32 _, a1, emit

# ---- 3: the quotients --------------------------------------------------------------------------

# Only the last sum is delivered, ADD cycles after the last row.
.equ TOTAL, SUM + ROWS - 1 + ADD
.queue vxm.4
        @TOTAL rsqrt.fp32 _, a6
.queue vxm.3
square: @TOTAL + RSQRT mul.fp32 s0.e, a4, a4
store4 r, e, 0, e, 1, vxm, TOTAL + RSQRT + MUL, 1, square

.equ T3, r3 + WRITE + 1 + READ + hops(mem.e2, vxm)
load4 part, w, 0, e, 0x100, vxm, T3, ROWS
load4 inv,  e, 4, w, 1,     vxm, T3, ROWS, 0
.queue vxm.0
share:  @T3 mul.fp32 s8.w, s0.e@(part0, part1, part2, part3), s4.w@(inv0, inv1, inv2, inv3)
        repeat ROWS - 1, 1
store4 y, w, 8, w, 0x400, vxm, T3 + MUL, ROWS, share
