"""The hypervisor and its guests, as the 2008 page-offlining design would have them. Pure.

`hypervisor` is the whole of it; `frametable` says whose each frame is, `freelists` how the free
ones lie (by the algebra of `buddy`, within `regions`) and `heap` who gets which; `offline` and
`swap` answer the page calls, `toolstack` the calls about guests, and `guests` notice when it went
wrong.

`sysctl` answers in the place of these page calls as real Xen 4.17 does, on the same frames.
"""
