"""Array types that X may come in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

Build = Callable[[np.ndarray], Any]


def as_anndata(X: Any) -> ad.AnnData:
    n, g = X.shape
    return ad.AnnData(
        X, pd.DataFrame(index=[f"c{i}" for i in range(n)]), pd.DataFrame(index=[f"g{j}" for j in range(g)])
    )


def _read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


IN_MEMORY: dict[str, Build] = {
    "float32": lambda x: x.astype(np.float32),
    "float64": lambda x: x.astype(np.float64),
    "int": lambda x: x.astype(np.int64),
    "fortran": lambda x: np.asfortranarray(x),
    "read_only": _read_only,
    "csr": lambda x: sp.csr_matrix(x),
    "csc": lambda x: sp.csc_matrix(x),
    "csr_array_int": lambda x: sp.csr_array(x.astype(np.int32)),
}


@pytest.fixture(
    params=[*IN_MEMORY, "view", "sparse_view", "dask", "dask_sparse", "backed_dense", "backed_csr", "backed_csc"]
)
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    """Return a function from a dense integer-valued matrix to an AnnData that holds it in one of the array types."""
    kind = request.param

    def make(x: np.ndarray) -> ad.AnnData:
        if kind in IN_MEMORY:
            return as_anndata(IN_MEMORY[kind](x))
        if kind in ("view", "sparse_view"):
            padded = np.vstack([x, x[:1] + 7])
            return as_anndata(sp.csr_matrix(padded) if kind == "sparse_view" else padded)[: len(x)]
        if kind.startswith("dask"):
            da = pytest.importorskip("dask.array")
            chunks = da.from_array(x, chunks=(max(1, len(x) // 3), x.shape[1]))
            return as_anndata(chunks.map_blocks(sp.csr_matrix) if kind == "dask_sparse" else chunks)
        to = {"backed_dense": np.asarray, "backed_csr": sp.csr_matrix, "backed_csc": sp.csc_matrix}[kind]
        as_anndata(to(x)).write_h5ad(tmp_path / "x.h5ad")
        return ad.read_h5ad(tmp_path / "x.h5ad", backed="r")

    return make
