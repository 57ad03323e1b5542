"""Loops compiled on first use by numba, which scanpy brings along."""

from collections.abc import Callable
from typing import Any

# sums may be reordered, which vectorises them; NaN and infinity must stay what they are: training checks for them
FAST = {"reassoc", "contract", "nsz", "arcp"}
OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": FAST, "error_model": "numpy"}


def loop(function: Callable[..., Any]) -> Any:
    """Compile a function of arrays and numbers, and keep the compiled code beside it where that can be written.

    What is kept goes by the date of the function's own file: it may call loops of the same file, of no other.
    """
    from numba import njit

    try:
        return njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # neither the package's folder nor a home to keep compiled code in
        return njit(cache=False, **OPTIONS)(function)
