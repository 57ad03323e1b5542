"""Arrays in one `.npz` file: never pickled, replaced as a whole, and named as damaged where they are."""

import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

REMEDY = "Delete the file or give another `checkpoint` path."


def check_writable(path: Path, argument: str = "checkpoint") -> None:
    """Raise, before anything is computed, if no file can be made beside `path`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OSError(
            f"{argument}={str(path)!r}: its folder cannot be written to ({error.strerror}). Give a path in a folder "
            "that can."
        ) from error
    if path.is_dir():
        raise OSError(f"{argument}={str(path)!r} is a folder; name a file in it.")


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays beside `path`, then move them there: a reader never meets half a file.

    The temporary name is unique, so that two processes with one path do not write into each other's file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays stored at `path`.

    Raises ValueError if the file is no archive of plain arrays, or a damaged one. Pickled objects in it are refused,
    not loaded.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            if isinstance(file, np.ndarray):
                raise ValueError("a single array, no archive")
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ValueError(f"checkpoint={str(path)!r} is no readable scdash checkpoint ({error}). {REMEDY}") from error
