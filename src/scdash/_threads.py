"""How many threads small models are trained with."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import local
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch and BLAS compute in this thread alone, and restore what was set before.

    Where a product takes 10 microseconds, waking another thread and waiting for it takes longer than it saves.
    """
    import torch

    if getattr(_inside, "yes", False):
        yield
        return
    before, _inside.yes = torch.get_num_threads(), True
    torch.set_num_threads(1)
    try:
        with _controller().limit(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
        _inside.yes = False


_inside = local()


@cache
def _controller() -> "ThreadpoolController":
    import scipy.linalg  # noqa: F401  # whose BLAS compiled loops call; only what is loaded is found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
