"""The forms in which AnnData comes: containers, dtypes, names, columns, sizes; some are fine, some are not."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from hypothesis import strategies as st

CONTAINERS = ("dense", "csr", "csc", "coo-like csr", "fortran", "read-only", "dask", "view", "backed")
DTYPES = ("as is", "float32", "float64", "int32", "int64", "bool")
OBS_NAMES = ("as is", "unicode", "duplicate", "numbers", "nullable")
VAR_NAMES = ("as is", "unicode", "duplicate", "numbers")
COLUMNS = ("as is", "unused category", "nullable", "string", "all missing", "object")
VALUES = ("as is", "nan", "inf", "negative", "constant", "huge")


@dataclass(frozen=True)
class Variant:
    """One form; `n_obs` and `n_vars` None: all."""

    container: str = "dense"
    dtype: str = "as is"
    obs_names: str = "as is"
    var_names: str = "as is"
    columns: str = "as is"
    values: str = "as is"
    n_obs: int | None = None
    n_vars: int | None = None

    @property
    def harmless(self) -> bool:
        """Whether the same values are there under the same gene names: results must be the same, too."""
        kept = ("as is", "float32", "float64")
        same = self.var_names == "as is" and self.values == "as is" and self.n_obs is None and self.n_vars is None
        return (
            same
            and self.dtype in kept
            and self.columns in ("as is", "unused category")
            and self.obs_names != "duplicate"
        )


def variants() -> st.SearchStrategy[Variant]:
    """Mostly one or two oddities at once, so that each of them is what a function meets."""
    usual = lambda options: st.one_of(st.just(options[0]), st.just(options[0]), st.sampled_from(options))
    small = st.one_of(st.none(), st.none(), st.sampled_from([0, 1, 2, 3]))
    return st.builds(
        Variant, st.sampled_from(CONTAINERS), usual(DTYPES), usual(OBS_NAMES), usual(VAR_NAMES), usual(COLUMNS),
        usual(VALUES), small, small,
    )  # fmt: skip


def apply(variant: Variant, adata: Any, folder: Any) -> Any:
    """Return a new AnnData of that form."""
    rows = slice(None) if variant.n_obs is None else slice(variant.n_obs)
    columns = slice(None) if variant.n_vars is None else slice(variant.n_vars)
    adata = adata[rows, columns].copy()
    X = np.array(adata.X.toarray() if sp.issparse(adata.X) else adata.X)
    X = _dtype(_values(X, variant.values), variant.dtype)
    adata.X = X
    for names, kind in (("obs_names", variant.obs_names), ("var_names", variant.var_names)):
        setattr(adata, names, _names(getattr(adata, names), kind))
    for column in list(adata.obs):
        adata.obs[column] = _column(adata.obs[column], variant.columns)
    return _container(adata, variant.container, folder)


def _values(X: Any, kind: str) -> Any:
    if kind in ("nan", "inf") and X.size:
        X = X.astype(float)
        X.flat[X.size // 2] = np.nan if kind == "nan" else np.inf
    elif kind == "negative":
        X = -X - 1.0
    elif kind == "constant":
        X = np.ones_like(X)
    elif kind == "huge":
        X = X.astype(np.float64) * 1e30
    return X


def _dtype(X: Any, kind: str) -> Any:
    if kind == "as is" or (kind in ("int32", "int64", "bool") and not np.isfinite(X).all()):
        return X
    with np.errstate(all="ignore"):
        return X.astype(kind)


def _names(names: pd.Index, kind: str) -> pd.Index:
    if kind == "unicode":
        return pd.Index([f"ß{name}→é" for name in names], dtype=object)
    if kind == "duplicate" and len(names) > 1:
        return pd.Index([names[0], *names[:-1]])
    if kind == "numbers":
        return pd.Index([str(i) for i in range(len(names))])
    if kind == "nullable":
        return pd.Index(names.astype("string"))
    return names


def _column(column: pd.Series, kind: str) -> pd.Series:
    if kind == "unused category" and isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.add_categories(["never there"])
    if kind == "nullable":
        return column.convert_dtypes()
    if kind == "string" and not pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype("string")
    if kind == "object":
        return column.astype(object)
    if kind == "all missing":
        return pd.Series(np.nan, index=column.index)
    return column


def _container(adata: Any, kind: str, folder: Any) -> Any:
    if kind in ("csr", "coo-like csr"):
        adata.X = sp.csr_matrix(adata.X)
        if kind == "coo-like csr":
            adata.X.has_sorted_indices = False
    elif kind == "csc":
        adata.X = sp.csc_matrix(adata.X)
    elif kind == "fortran":
        adata.X = np.asfortranarray(adata.X)
    elif kind == "read-only":
        adata.X.setflags(write=False)
    elif kind == "dask":
        import dask.array as da

        adata.X = da.from_array(adata.X, chunks=(max(1, adata.n_obs // 2), max(1, adata.n_vars)))
    elif kind == "view":
        return adata[:, list(range(adata.n_vars))]
    elif kind == "backed" and adata.obs_names.is_unique:
        import anndata

        path = folder / f"{len(list(folder.iterdir()))}.h5ad"
        try:
            adata.write_h5ad(path)
        except (TypeError, ValueError):  # a form that h5ad does not hold
            return adata
        return anndata.read_h5ad(path, backed="r")
    return adata
