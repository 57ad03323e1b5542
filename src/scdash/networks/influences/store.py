"""A file of finished blocks, so that a long computation goes on where it stopped."""

import hashlib
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._core.files import read_arrays, write_arrays


def fingerprint(model: Any, perturbations: Any, genes: NDArray[Any], unit: NDArray[Any], steps: int, block: int) -> str:
    """Return a hash of everything the results depend on, and of the number of genes in a block."""
    digest = hashlib.sha256(f"{model.field!r} {steps} {block}".encode())
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
        content = read_arrays(self.path)
        if str(content.pop("key", "")) != key:
            raise ValueError(
                f"checkpoint {str(self.path)!r} belongs to another model or other settings. Delete it or name another."
            )
        self.blocks = {int(name): block for name, block in content.items()}

    def save(self, number: int, block: NDArray[np.float64]) -> None:
        """Add a block and write the file."""
        self.blocks[number] = block
        write_arrays(self.path, {"key": np.array(self.key)} | {str(at): kept for at, kept in self.blocks.items()})
