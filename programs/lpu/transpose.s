# y[j, b, i] = x[i, b, j]: transposes 16 x 16 blocks of bytes. Shows streams that are turned around.
#
# The SXM's `transpose` takes 16 streams in one cycle and gives 16 streams back: lane i of output
# stream j is lane j of input stream i, in each superlane of 16 lanes by itself. The difficulty is
# to have 16 vectors there in the same cycle: this small chip has 8 slices, and each reads only
# one vector per cycle.
#
# So half of the vectors make a detour. They are read westward, and the western SXM sends them
# back east (a shift by 0 lanes does nothing but that). Meanwhile the slices read the other half,
# timed to travel along. The result has the same problem the other way round: eight of its streams
# are written as they pass the slices, the other eight once the western SXM has turned them.
#
#     SXM.w   w2,w3  w0,w1  VXM  e0,e1  e2,e3   SXM.e
#       1       2      3     4     5      6       7
#       <------ rows 0-7 ---------------
#       ------- rows 0-7 turned, rows 8-15 ------>          transpose
#       <------ columns 0-15 (8-15 written) ------
#       ------- columns 0-7 turned (written) -->

.chip lpu-tiny
.meta kernel "transpose"

.equ READ,      latency(mem.read)
.equ SHIFT,     latency(sxm.shift)
.equ TRANSPOSE, latency(sxm.transpose)

# Two blocks side by side, b = 0 and 1, one per superlane. Row i of x is in slice i % 8, the rows
# from 8 on one address higher. The digits say so: i % 8 counts slices, i / 8 counts addresses.
# The last axis is in lanes, and `b` moves by 16 of them, so [2, 16] is simply 32 lanes.
.tensor x, int8, [16, 32], in,  slices=[w0:w3, e0:e3], lane=1, digit=0%8:s1, digit=0/8:a1
.tensor y, int8, [16, 32], out, slices=[w0:w3, e0:e3], lane=1, digit=0%8:s1, digit=0/8:a1, base=0x400

.equ WEST,   READ + hops(mem.e2, sxm.w)                # rows 0-7 are at the western SXM
.equ TURNED, WEST + SHIFT                              # and leave it again
.equ EAST,   TURNED + hops(sxm.w, sxm.e)               # all 16 rows are at the eastern SXM
.equ BACK,   EAST + TRANSPOSE                          # the columns leave it, westward
.equ AGAIN,  BACK + hops(sxm.e, sxm.w)                 # they reach the western SXM
.equ LAST,   AGAIN + SHIFT                             # columns 0-7 come back from it

# slice NAME, NUMBER: what one slice does. Four instructions: one row to the west, one to the east,
# one column written as the columns go west, one as they return.
.macro slice name, number
    .queue mem.\name\().read
row\number:  @WEST - READ - hops(mem.\name, sxm.w)  read s\number\().w, 0
late\number: @EAST - READ - hops(mem.\name, sxm.e)  read s[8 + \number].e, 1
    .queue mem.\name\().write
    @BACK + hops(mem.\name, sxm.e) write 0x401, s[8 + \number].w@flip
    @LAST + hops(mem.\name, sxm.w) write 0x400, s\number\().e@(turn_lo|turn_hi)
.endm
slice w0, 0
slice w1, 1
slice w2, 2
slice w3, 3
slice e0, 4
slice e1, 5
slice e2, 6
slice e3, 7

# A shift takes up to four streams at once, so two operations turn eight.
.queue sxm.w.0
lo:      @WEST  shift.4 s0.e, s0.w@(row0, row1, row2, row3), 0
turn_lo:  @AGAIN shift.4 s0.e, s0.w@flip, 0
.queue sxm.w.1
hi:      @WEST  shift.4 s4.e, s4.w@(row4, row5, row6, row7), 0
turn_hi:  @AGAIN shift.4 s4.e, s4.w@flip, 0

# s0 names the group of 16 streams, s0 to s15.
.queue sxm.e.0
flip: @EAST transpose s0.w, s0.e@(lo*4, hi*4, late0, late1, late2, late3, late4, late5, late6, late7)
