"""The doors of the emulated host: what waits, what measures time, and what an agent can reach."""
