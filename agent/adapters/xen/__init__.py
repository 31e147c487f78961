"""The real Xen: both ports of `retirement.ports`, filled from dom0.

    pages     libxenctrl's page-offline call     library ◄─ pages (the rules) ◄─ hypervisor (port)
    guests    the program `xl`                   xl, listing ◄─ toolstack (port), images
    where     opening.py                         is it Xen, is it dom0, do we know this release?

A wrong call here hangs the host or kills a guest. The eight rules that keep from that, and where
each of them is kept:

    1  no page is asked for on physical CPU 0                    cpus, pinned, hypervisor
    2  queried first; what is broken is asked nothing more       pages
    3  no page that has left the heap is put back                pages, releases
    4  frame numbers of 32 bits; one page a call                 library, pages
    5  return, errno and word are read together                  words
    6  an owner of 0x7ff0 or more is no guest; dom0 is owner 0   words, toolstack
    7  no machine address for an interface of dom0's own frames  there is none here; `doctor` looks
    8  corrected errors may never arrive                         releases; `doctor` says so
"""
