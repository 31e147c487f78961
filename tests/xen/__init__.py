"""`make test-xen`: the agent against a real Xen, which runs on an emulated machine.

    fetch    Debian's packages, through this machine's own apt      → packages.py
    image    hypervisor, kernel, two initramfs, dom0's disk         → image.py (kept between runs)
    boot     QEMU without KVM; console and monitor                     → machine.py console.py
    words    every page-offline case, real and emulated             → table.py conforming.py
    pages    errors in the banks, and the agent that retires pages  → banks.py dom0.py retiring.py
    pvh      a PVH guest, migrated in place, saved and restored     → nesting.py
    service  the agent under dom0's systemd, with the shipped unit  → serving.py

What is in `inside/` runs in dom0 or in the guest; everything else runs here.
"""
