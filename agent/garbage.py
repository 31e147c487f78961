"""Python's collector of cycles, told what is going to stay.

A start makes a hundred thousand objects that live as long as the agent does. Left as it is, the
collector looks them through again and again while messages come, a third of the time that small
messages take, and finds nothing.
"""

import gc

YOUNG_MAX = 10_000  # objects made, and not gone by themselves, between two looks at the new ones


def settle() -> None:
    """Call it when everything is made, and again when it was made anew."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX)
