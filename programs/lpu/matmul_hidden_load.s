# c = a b with K = 64: two weight tiles, the second loaded while the first is at work.
#
# Read matmul_small.s first. The plane holds 32 values of K at a time, so K = 64 takes two passes:
#     pass 0   the first half of K starts a sum in accumulator row i for each vector i,
#     pass 1   the second half is added to it, and the row is emitted.
# A plane has two weight buffers and two queues, so the load of the second tile costs no time: it
# happens anywhere inside pass 0. All that is seen of it is the swap (iw, 2 cycles).

.chip lpu-tiny
.meta kernel "matmul_hidden_load"
.include "fp32.inc"

.equ M, 16
.equ N, 4
.equ IW, latency(mxm.iw)
.equ MM, latency(mxm.mm)

# b's columns are in the western slices: k % 32 is the lane, k / 32 (the pass) the address.
.tensor b, int8,  [64, N], in,  slices=[w0:w3], base=0, lane=0%32, digit=1:s1, digit=0/32:a1
# a's rows are in e0: for each pass M vectors of 32 values of K.
.tensor a, int8,  [M, 64], in,  slices=[e0], base=0, lane=1%32, digit=0:a1, digit=1/32:a16
.tensor c, int32, [M, N],  out, at=e0:0x400

.equ FIRST,  READ + hops(mem.w2, mxm.1)       # the first tile is at the plane
.equ PASS0,  FIRST + 1 + IW                   # lw holds its queue for one cycle, then the swap
.equ SECOND, PASS0 + 3                        # the second tile: any cycle inside pass 0 would do
.equ SWAP,   PASS0 + M                        # the last vector of pass 0 has been taken
.equ PASS1,  SWAP + IW

# Column n of both tiles comes from slice wn: the first tile at address 0, the second at 1.
.irp n, 0, 1, 2, 3
    .queue mem.w\n.read
p\n: @FIRST  - READ - hops(mem.w\n, mxm.1) read s\n.e, 0
q\n: @SECOND - READ - hops(mem.w\n, mxm.1) read s\n.e, 1
.endr

.queue mxm.1.weights
    @FIRST  lw.int8 s0.e@(p0, p1, p2, p3, ...), rows=N, lanes=32
    iw
    @SECOND lw.int8 s0.e@(q0, q1, q2, q3, ...), rows=N, lanes=32
    @SWAP   iw

# Between the two halves of a there is a gap of IW cycles, the only time that the swap costs.
.queue mem.e0.read
half0: @PASS0 - READ - hops(mem.e0, mxm.1) read s16.e, 0
    repeat M - 1, 1, 1
half1: @PASS1 - READ - hops(mem.e0, mxm.1) read s16.e, 16
    repeat M - 1, 1, 1

.queue mxm.1.mm
    # `start` begins a sum in each of M accumulator rows and delivers nothing yet.
    @PASS0 mm.int8 s16.e@half0, 0, start
    repeat M - 1, 1, 1
    # Without `start` the product is added to the row; with `emit` the row leaves.
out: @PASS1 mm.int8 s16.e@half1, 0, emit, s0.w
    repeat M - 1, 1, 1

store4 c, e, 0, w, 0x400, mxm.1, PASS1 + MM, M, out
