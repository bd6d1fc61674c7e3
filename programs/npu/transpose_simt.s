# y = x transposed, 32 x 32 words, through UB: why one turns a matrix in the near memory.
#
# A warp that reads a row of x asks for 128 bytes side by side: one sector of L2, one access. Were
# it to store that row as a column of y straight away, it would touch 32 places, a whole row apart:
# 32 sectors for 128 bytes. So the tile goes into UB as it comes and leaves it by columns; in
# global memory both ways are rows.
#
# UB has its own trouble. It is made of banks, which work side by side; words that are 512 bytes
# apart lie in the same one, where a second row of it has to wait for the first. A tile with rows of
# 32 words puts a column's words 128 bytes apart, and every fourth of them into the same bank. One
# word of padding per row, a pitch of 33, spreads a column over all banks.

.chip npu-tiny
.meta kernel "transpose"

.equ X, 0x0000
.equ Y, 0x1000
.equ SIDE, 32
.equ PITCH, 4 * (SIDE + 1)              # bytes from row to row in UB; try 4 * SIDE
.tensor x, fp32, [SIDE, SIDE], in,  at=X
.tensor y, fp32, [SIDE, SIDE], out, at=Y

.equ WARPS, 8                           # a warp takes rows w, w + 8, w + 16, w + 24

.core vector
    mov   x1, X
    mov   x2, Y
    mov   x3, 0                         # the start of UB
    vcall transpose, x1, 3, threads=32 * WARPS, dcache=4
    end

.simt transpose
    tsr.lane r0
    tsr.warp r1

    # Row w, lane l: word l of it. In global memory a row has 128 bytes, in UB PITCH.
    tshl.uint32 r2, r0, 2               # 4 l
    tmov r8, r2
    tfma.int32  r3, r1, 4 * SIDE, r2    # in x and y
    tfma.int32  r4, r1, PITCH, r8       # in UB, by rows
.irp turn, 0, 1, 2, 3
    tld.gm.b32 r5, u0, r3, \turn * WARPS * 4 * SIDE
    tst.ub.b32 r5, u2, r4, \turn * WARPS * PITCH     # u2 is 0, the start of UB
.endr

    # A warp is about to read what others have stored.
    tbar

    # Column w, lane l: word w of row l.
    tshl.uint32 r6, r1, 2
    tfma.int32  r7, r0, PITCH, r6
.irp turn, 0, 1, 2, 3
    tld.ub.b32 r5, u2, r7, \turn * WARPS * 4
    tst.gm.b32 r5, u1, r3, \turn * WARPS * 4 * SIDE
.endr
    texit
