"""How small models are trained fast: in one thread, with tiny numbers as 0, and with memory kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import local
from typing import TYPE_CHECKING

import numpy as np

from scdash._core.process_state import SharedSetting

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

LARGEST_BLOCK = 2**25 - 2**13  # bytes; the most that glibc learns from
_inside = local()  # whether this thread computes alone already


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch and BLAS compute in this thread alone, and restore what was set before.

    Where a product takes 10 microseconds, waking another thread and waiting for it takes longer than it saves.
    """
    import torch

    if getattr(_inside, "alone", False):
        yield
        return
    before, _inside.alone = torch.get_num_threads(), True
    torch.set_num_threads(1)
    try:
        with _BLAS_LIMIT.held():
            yield
    finally:
        torch.set_num_threads(before)
        _inside.alone = False


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Round denormal numbers to zero in this thread, and restore what was set before.

    Moments of Adam decay by a constant factor where the gradient is exactly zero (pruned weights, genes that have
    stopped changing): after some 800 steps they are denormal, and an epoch takes twice as long.
    """
    import torch

    # 1e-40 is denormal; torch has no way to ask for the setting. Where the processor has none, nothing changes.
    already = bool((torch.full((1,), 1e-30) * 1e-10 == 0).all())
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already)


def _limit_blas() -> Callable[[], object]:
    limiter = _controller().limit(limits=1, user_api="blas")
    _release_openblas()

    def undo() -> None:
        _release_openblas()
        limiter.restore_original_limits()
        _release_openblas()

    return undo


def _release_openblas() -> None:
    """Let any thread set OpenBLAS' threads, whichever did so last: newer threadpoolctl reserve that for one thread."""
    import threadpoolctl

    release = getattr(threadpoolctl.OpenBLASController, "clear_controlling_thread", None)
    if release is not None:
        release(force=True)


_BLAS_LIMIT = SharedSetting(_limit_blas)


@cache
def _controller() -> "ThreadpoolController":
    import scipy.linalg  # noqa: F401  # whose BLAS compiled loops call; only what is loaded is found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@cache
def keep_freed_memory() -> None:
    """Let the C library keep what is freed instead of giving it back to the system before the next batch asks for it.

    glibc raises its thresholds when a large block, never touched, is freed; elsewhere nothing happens. Without it page
    faults take up to a fifth of the time of small models.
    """
    for size in (2**20, 2**22, LARGEST_BLOCK):  # a block is learned from only while it is larger than what was before
        block = np.empty(size, np.uint8)
        del block
