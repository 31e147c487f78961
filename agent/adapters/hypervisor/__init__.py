"""Hypervisors and their toolstacks: each module here fills both ports of `retirement.ports`."""
