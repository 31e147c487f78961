"""The world: a host with failing memory, truthful and breakable.

`machine` is the hardware (DRAM, MCA banks, faults) and `xen` the hypervisor, its toolstack and
guests that notice when a frame is not theirs any more. Both are pure: time and chance come in as
arguments. `world` makes one host of them, `edges` opens the four doors of a real one (telemetry,
hypercall, toolstack, and a control socket that tells the truth), and a scenario says what breaks
when. Nothing here knows the agent but for the contract they share.
"""
