.chip lpu-tiny
.equ N, 4
.queue mem.w9.read
.queue mem.w0.raed
.queue mem.w0.read
load: raed s3.e, 16
      read s40.e, 16
      read s3, 16
      read s3.e, NN + 1
      read s3.e
      read s3.e, 1 << 30
      read s3.e, 5, 6
      add.fp32 s0.e, s4.e, s8.e
load: read s0.e, 0
@2    read s1.e, 0
.queue vxm.0
repeat 3, 1
      add.fp3 s0.e, s4.e, s8.e
      add.fp32 s0.e, s4.e@laod, s8.e@(load, load)
      add.fp32 s0.e, s4.e@(load, nothing_like|load, *, 3), a1@load
      add.fp32 s2.e, s4.e, 1.5
      mul.int32 s0.e, s4.e, 1.5
      add.fp32 s0.e, 1, 2
@3
.qeueu vxm.1
.tensor x, fp23, [4], in, at=w0:0
.tensor y, fp32, [4, 0], in, at=w0:0
.tensor z, fp32, [4], inn, at=w0:0
.tensor u, fp32, [4], in, at=w2:0
.tensor v, fp32, [4], const, at=w0:0, data=[1, 2.0]
.tensor w, int8, [4], const, at=w0:0
.tensor q, int8, [4], const, at=w0:0
.byte 1, 2, 300
.tensor p, int8, [4], in, att=w0:0
.tensor o, int8, [4, 4], in, slices=[w0], lane=1, digit=0:s1
.tensor n, int8, [4, 4], in, slices=[w0], lane=1, digit=0:a1, base=2046
.macro two a, b=1
  read s\a\().e, \b
  reed s\a\().e, \b
.endm
.queue mem.w0.read
  two 1
  two
  two 1, 2, 3
  two 40
.if N ==
.endif
.rept 2
  frob
.include "nothing.inc"
.endr
.endif
.error "not for this chip"
s0 = 4
.meta x {"a"
.core main
.float 1.0
.if 1
