"""Memory that training asks for again and again."""

from functools import cache

import numpy as np

LARGEST = 2**25 - 2**13  # bytes; the most that glibc learns from


@cache
def keep_freed_memory() -> None:
    """Let the C library keep what is freed instead of giving it back to the system before the next batch asks for it.

    glibc raises its thresholds when a large block, never touched, is freed; elsewhere nothing happens. Without it page
    faults take up to a fifth of the time of small models.
    """
    for size in (2**20, 2**22, LARGEST):  # a block is learned from only while it is larger than what was before
        block = np.empty(size, np.uint8)
        del block
