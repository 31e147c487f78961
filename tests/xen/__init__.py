"""`make test-xen`: the agent against a real Xen, which runs on an emulated machine.

    fetch    Debian's packages, through this machine's own apt      → packages.py
    image    hypervisor, kernel, two initramfs, dom0's disk         → image.py (kept between runs)
    boot     QEMU without KVM; console and monitor        → machine.py console.py monitor.py
    ask      every page-offline case of the table, raw words        → table.py, inside/words.py

What is in `inside/` runs in dom0 or in the guest; everything else runs here.
"""
