"""A column is one number a frame, and a frame that nobody touched costs nothing.

All encodings of the emulated host have 0 for "nothing", so that a column begins as memory the
kernel has not backed yet: a host of 512 GiB is built in no time and stays small.
"""

import contextlib
import mmap
import sys
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def zeros(frames: int, dtype: type[Scalar]) -> NDArray[Scalar]:
    """`frames` zeros, backed 4 KiB at a time where they are first written."""
    if sys.platform != "linux":
        return np.zeros(frames, dtype)
    # numpy asks for huge pages: 200 scattered writes then back 339 MiB of a 1 GiB column, here 1.
    memory = mmap.mmap(
        -1, frames * np.dtype(dtype).itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    )
    with contextlib.suppress(OSError):  # a kernel built without huge pages refuses the advice
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    column: NDArray[Any] = np.frombuffer(memory, dtype)
    return column
