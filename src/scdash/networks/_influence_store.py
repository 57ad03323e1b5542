"""A file of finished blocks, so that a long computation goes on where it stopped."""

import hashlib
import os
import tempfile
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def fingerprint(model: Any, perturbations: Any, genes: NDArray[Any], unit: NDArray[Any], steps: int) -> str:
    """Return a hash of everything the results depend on."""
    digest = hashlib.sha256(f"{model.field!r} {steps}".encode())
    arrays = [perturbations.starts, perturbations.values, perturbations.times, genes, unit]
    arrays += [value.detach().cpu().numpy() for _, value in sorted(model.state_dict().items())]
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


class BlockStore:
    """Numbered arrays in one `.npz` file, replaced as a whole so that a kill leaves the old or the new one."""

    def __init__(self, path: str | PathLike[str], key: str) -> None:
        self.path, self.key = Path(path), key
        self.blocks: dict[int, NDArray[np.float64]] = {}
        if not self.path.exists():
            return
        try:
            with np.load(self.path, allow_pickle=False) as content:
                found = str(content["key"])
                self.blocks = {int(name): content[name] for name in content.files if name != "key"}
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(
                f"checkpoint {str(self.path)!r} is no checkpoint of scdash: {error}. Delete it."
            ) from error
        if found != key:
            raise ValueError(
                f"checkpoint {str(self.path)!r} belongs to another model or other settings. Delete it or name another."
            )

    def save(self, number: int, block: NDArray[np.float64]) -> None:
        """Add a block and write the file."""
        self.blocks[number] = block
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                arrays: dict[str, Any] = {str(key): value for key, value in self.blocks.items()}
                np.savez(file, key=np.array(self.key), **arrays)
            os.replace(name, self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
