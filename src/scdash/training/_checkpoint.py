"""Checkpoints: plain arrays in one npz, replaced atomically, refused when they belong to another run."""

import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch

from scdash.training._state import TrainState


def write_checkpoint(path: Path, state: TrainState, fingerprint: str) -> None:
    """Write `state` beside `path`, then move it there: a reader never meets half a file.

    The temporary name is unique, so that two processes with one path do not write into each other's file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, fingerprint=np.array(fingerprint), **state.to_arrays())  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_checkpoint(path: Path, fingerprint: str, device: torch.device) -> TrainState | None:
    """Return the state stored at `path`, None if there is no file.

    Raises
    ------
    ValueError
        If the file is no checkpoint, is damaged, or was written by a run with other settings or data.
    """
    if not path.exists():
        return None
    remedy = "Delete the file or give another `checkpoint` path."
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        found = str(arrays.pop("fingerprint"))
        if found == fingerprint:
            return TrainState.from_arrays(arrays, device)
    except (KeyError, OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"checkpoint={str(path)!r} is no readable scdash checkpoint ({error}). {remedy}") from error
    raise ValueError(
        f"checkpoint={str(path)!r} belongs to a run with other data, settings or seed, so it can not be resumed. {remedy}"
    )
