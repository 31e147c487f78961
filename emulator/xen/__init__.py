"""The hypervisor and its guests, as the 2008 page-offlining design would have them. Pure.

`hypervisor` is the whole of it; `frametable` and `heap` say whose each frame is, `offline` and
`swap` answer the page calls, `toolstack` the calls about guests, and `guests` notice when it went
wrong.
"""
