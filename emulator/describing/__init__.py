"""`pagewarden emulator describe`: what the simulated memory does, beside what it was told to do.

    flaws of a fleet ──stream──► errors ──► study: numbers ──► page: plots and tables
                                     └────► policies: what retiring pages would have saved

A model that nobody looks at is believed too easily. Nothing here is used by the emulated host.
"""
