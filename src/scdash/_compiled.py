"""Loops compiled on first use by numba, which scanpy brings along."""

from collections.abc import Callable
from typing import Any

# sums may be reordered, which vectorises them; NaN and infinity must stay what they are: training checks for them
FAST = {"reassoc", "contract", "nsz", "arcp"}


def loop(function: Callable[..., Any]) -> Any:
    """Compile a function of arrays and numbers, and keep the compiled code beside it where that can be written."""
    from numba import njit

    def compiled(*, cache: bool) -> Any:
        return njit(nogil=True, cache=cache, fastmath=FAST, error_model="numpy")(function)

    try:
        return compiled(cache=True)
    except RuntimeError:  # neither the package's folder nor a home to keep compiled code in
        return compiled(cache=False)
