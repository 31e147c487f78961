"""The hypervisor and its guests, as the 2008 page-offlining design would have them. Pure.

    whose is it       frametable, references; pages has the kinds
    what is free      heap, freelists, buddy, regions; claims, scrub
    who lives here    domains, layout, settling, beings; pod, sharing, pools
    what they see     translation, pagetables, guests; devices and mappers see it too
    the page calls    offline, swap            in the place of these: sysctl, pageops, words
    the guest calls   toolstack, exchange, lives, giving; moving is under swap and exchange
    what goes wrong   defects (of real Xen), trouble (on request), machinecheck, vmce, mctelem
    does it hold      soundness

`hypervisor` puts one host together. `sysctl` answers as real Xen 4.17 does, on the same frames.
"""
