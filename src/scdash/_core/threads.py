"""How many threads small models are trained with: one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import local
from typing import TYPE_CHECKING

from scdash._core.process_state import SharedSetting

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

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
