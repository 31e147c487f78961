"""The only code that touches the world: sockets, disks, clocks of other machines.

Every adapter has its deadlines and bounds, and turns what goes wrong out there into one line.
"""
