# c = a b: int8 [8, 32] times [32, 8], sums in int32. Shows the matrix unit, one weight tile.
#
# The MXM keeps a tile of weights and multiplies one activation vector per cycle with it: input
# lane k times weight (k, n), summed over k, is output lane n. The order of work is always
#     lw   weight vectors (one per output lane, K in lanes) fill a second, hidden buffer,
#     iw   that buffer and the one in use are swapped,
#     mm   activation vectors go in, results come out on four streams of int32.

.chip lpu-tiny
.meta kernel "matmul_small"
.include "fp32.inc"

.equ M, 8
.equ N, 8
.equ IW, latency(mxm.iw)         # from the swap to the first mm
.equ MM, latency(mxm.mm)         # from taking an activation vector to its result

# lw takes 16 streams at once, in cycle i the weights of output lanes 16 i to 16 i + 15. Eight
# output lanes use eight of them, and eight slices can feed those in one cycle: column n of b is
# a vector in slice n, with k running over the lanes.
.tensor b, int8,  [32, N], in,  slices=[w0:w3, e0:e3], base=0, lane=0, digit=1:s1
.tensor a, int8,  [M, 32], in,  at=w0:0x10
# The upper bank: what is written here never meets what is read below.
.tensor c, int32, [M, N],  out, at=w0:0x400

# Plane 1 is at the eastern end, so weights and activations come on eastward streams. The slices
# that are farther away have to begin earlier; w2 and w3, six columns off, begin in cycle 0.
.equ LOAD, READ + hops(mem.w2, mxm.1)
.macro weights slice, n
    .queue mem.\slice\().read
w\n: @LOAD - READ - hops(mem.\slice, mxm.1) read s\n\().e, 0
.endm
weights w0, 0
weights w1, 1
weights w2, 2
weights w3, 3
weights e0, 4
weights e1, 5
weights e2, 6
weights e3, 7

.queue mxm.1.weights
    # Output lanes from rows on give 0; input lanes from lanes on would contribute nothing. The
    # streams 8 to 15 of the group are not looked at: `...` says that nothing is expected of them.
    @LOAD lw.int8 s0.e@(w0, w1, w2, w3, w4, w5, w6, w7, ...), rows=N, lanes=32
    iw

# The activations pass the MXM one per cycle, from the moment at which the weights are in place.
.equ GO, LOAD + 1 + IW
.queue mem.w0.read
act: @GO - READ - hops(mem.w0, mxm.1) read s16.e, 0x10
    repeat M - 1, 1, 1

# Each result goes to an accumulator row of its own (0, 1, ... as `repeat` advances it). `start`:
# it begins a sum there; `emit`: the sum is complete and leaves, here at once.
.queue mxm.1.mm
out: @GO mm.int8 s16.e@act, 0, start, emit, s0.w
    repeat M - 1, 1, 1

store4 c, w, 0, w, 0x400, mxm.1, GO + MM, M, out
