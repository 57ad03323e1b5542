"""Loops compiled on first use by numba, which scanpy brings along."""

import inspect
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from scdash._core.logging import logger

# sums may be reordered, which vectorises them; NaN and infinity must stay what they are: training checks for them
FAST = {"reassoc", "contract", "nsz", "arcp"}
OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": FAST, "error_model": "numpy"}
MESSAGE = "compiling loops, once, about 20 s (python -m scdash.compile does it beforehand)"


def loop(function: Callable[..., Any]) -> Any:
    """Compile a function of arrays and numbers, and keep the compiled code beside it where that can be written.

    What is kept goes by the text of the function's own file: it may call loops of the same file, of no other. Where the
    package lies in a read-only place (containers), what `python -m scdash.compile` has left there is used.
    """
    _tell_of_compilation()
    found = _kept(function)
    _take_over(function, found)
    return found


def _kept(function: Callable[..., Any]) -> Any:
    """Return the function with a place for its code: beside it, else in the user's folder, else in a temporary one."""
    from numba import config, njit

    try:
        return njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # neither the package's folder nor a home to keep compiled code in
        pass
    before = config.CACHE_DIR
    try:
        config.CACHE_DIR = _temporary()
        return njit(cache=True, **OPTIONS)(function)
    except (OSError, RuntimeError):
        return njit(cache=False, **OPTIONS)(function)
    finally:
        config.CACHE_DIR = before


@cache
def _temporary() -> str:
    """Return a folder of this process alone, whose files nobody else can have written."""
    folder = tempfile.TemporaryDirectory(prefix="scdash-", ignore_cleanup_errors=True)
    _FOLDERS.append(folder)  # removed when the process ends
    return folder.name


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def _take_over(function: Callable[..., Any], compiled: Any) -> None:
    """Copy code that was compiled beside the package to where this process looks for it."""
    source, chosen = Path(inspect.getfile(function)), getattr(getattr(compiled, "stats", None), "cache_path", None)
    beside = source.parent / "__pycache__"
    if chosen is None or Path(chosen) == beside:
        return
    for index in beside.glob(f"{source.stem}.{function.__qualname__}-*.nbi"):
        if (Path(chosen) / index.name).exists():
            continue
        for part in [*beside.glob(f"{index.stem}.*.nbc"), index]:
            shutil.copy2(part, chosen)


@cache
def _tell_of_compilation() -> None:
    """Log one line before the first loop of this package is compiled in this process, if any is."""
    from numba.core import event

    class Listener(event.Listener):  # type: ignore[misc]
        def on_start(self, event: Any) -> None:
            of = event.data.get("dispatcher") if isinstance(event.data, dict) else None
            if str(getattr(of, "__module__", "")).startswith("scdash."):
                _say()

        def on_end(self, event: Any) -> None:
            """Nothing is to be said."""

    event.register("numba:compile", Listener())


@cache
def _say() -> None:
    logger.info(MESSAGE)
