"""Blocks of a matrix that may be sparse, as arrays."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike, NDArray


def as_dense(block: Any, dtype: DTypeLike | None = None) -> NDArray[Any]:
    """Return an array or a SciPy sparse matrix as an array, of its own type unless told; an array is not copied."""
    return np.asarray(block.toarray() if sp.issparse(block) else block, dtype=dtype)
