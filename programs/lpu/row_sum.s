# y[i, :] = sum over j of x[i, j], in every lane. Shows the SXM, and a value going round in circles.
#
# Lanes never meet in the VXM, so a sum across lanes needs the SXM, which moves data between them.
# Five rounds add up 32 lanes: add the vector to itself shifted by 16 lanes, the result to itself
# shifted by 8, then 4, 2 and 1. With `wrap` what leaves at one end comes in at the other, and every
# lane ends up with the sum of all.
#
# A round is a trip from the VXM (column 4) to the eastern SXM (column 7) and back. Four rows are
# on the way at once, one cycle apart: that is all it takes to run four sums in the time of one.

.chip lpu-tiny
.meta kernel "row_sum"
.include "fp32.inc"

.tensor x, fp32, [4, 32], in,  at=w0:0
.tensor y, fp32, [4, 32], out, at=w0:0x400

.equ ROWS, 4
.equ SHIFT, latency(sxm.shift)                       # 6
.equ TRIP, hops(vxm, sxm.e)                          # 3
.equ ROUND, TRIP + SHIFT + TRIP + ADD                # 16: from one add to the next
.equ FIRST, READ + hops(mem.w2, sxm.e)               # x is at the SXM; it passes the VXM unread

load4 x, w, 0, e, 0, sxm.e, FIRST, ROWS

# An operand is gone once it has passed the VXM. So the SXM sends back both the shifted vector
# and, by a shift of 0, the vector itself: the two meet again at the VXM. It can do four operations
# per cycle (queues sxm.e.0 to sxm.e.3); these are two.
#
# round NAME, TIME, AMOUNT, FROM: what the instructions FROM drove is at the SXM in cycle TIME.
.macro round name, time, amount, from
    .queue sxm.e.0
move\name: @\time shift.4 s0.w, s0.e@\from, \amount, wrap
    repeat ROWS - 1, 1
    .queue sxm.e.1
keep\name: @\time shift.4 s4.w, s0.e@\from, 0, wrap
    repeat ROWS - 1, 1
    # The sum leaves eastward again, for the next round.
    .queue vxm.0
sum\name: @\time + SHIFT + TRIP add.fp32 s0.e, s0.w@move\name, s4.w@keep\name
    repeat ROWS - 1, 1
.endm

round 1, FIRST,           16, "(x0, x1, x2, x3)"
round 2, FIRST + ROUND,    8, sum1
round 3, FIRST + 2*ROUND,  4, sum2
round 4, FIRST + 3*ROUND,  2, sum3

# The last round is written out, because its sum goes westward, to memory.
.equ LAST, FIRST + 4*ROUND
    .queue sxm.e.0
move5: @LAST shift.4 s0.w, s0.e@sum4, 1, wrap
    repeat ROWS - 1, 1
    .queue sxm.e.1
keep5: @LAST shift.4 s4.w, s0.e@sum4, 0, wrap
    repeat ROWS - 1, 1
    .queue vxm.0
sum5: @LAST + SHIFT + TRIP add.fp32 s8.w, s0.w@move5, s4.w@keep5
    repeat ROWS - 1, 1

store4 y, w, 8, w, 0x400, vxm, sum5 + ADD, ROWS, sum5
