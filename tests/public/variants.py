"""The forms in which AnnData comes: containers, dtypes, names, columns, sizes; some are fine, some are not."""

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from hypothesis import strategies as st

CONTAINERS = ("dense", "csr", "csc", "coo-like csr", "fortran", "read-only", "dask", "view", "backed")
DTYPES = ("as is", "float32", "float64", "float16", "int32", "int64", "uint8", "bool")
OBS_NAMES = ("as is", "unicode", "duplicate", "numbers", "integers", "nullable", "categorical", "str")
VAR_NAMES = OBS_NAMES
COLUMNS = ("as is", "unused category", "nullable", "string", "all missing", "object")
VALUES = ("as is", "nan", "inf", "negative", "constant", "zero", "huge")
PLACES = ("X", "layer")  # where the values are; elsewhere there are zeros then
SIZES = (None, 0, 1, 2, 3)


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
    place: str = "X"

    @property
    def harmless(self) -> bool:
        """Whether the same values are there under the same gene names: results must be the same, too."""
        same = self.var_names == "as is" and self.values == "as is" and self.n_obs is None and self.n_vars is None
        return (
            same
            and self.dtype in ("as is", "float32", "float64")
            and self.columns in ("as is", "unused category")
            and self.obs_names not in ("duplicate", "integers")
        )

    @property
    def told_apart(self) -> bool:
        """Whether it is seen in `obs` and so in what is written there, though results are the same."""
        return self.obs_names != "as is" or self.columns != "as is"


AXES: dict[str, tuple[Any, ...]] = {
    "container": CONTAINERS, "dtype": DTYPES, "obs_names": OBS_NAMES, "var_names": VAR_NAMES, "columns": COLUMNS,
    "values": VALUES, "n_obs": SIZES, "n_vars": SIZES, "place": PLACES,
}  # fmt: skip


def alone(*, layer: bool) -> list[Variant]:
    """Return every oddity by itself; `layer`: also values that are in a layer."""
    axes = {name: options for name, options in AXES.items() if layer or name != "place"}
    return list(chain.from_iterable([Variant(**{name: option}) for option in axes[name][1:]] for name in axes))


def variants(*, layer: bool) -> st.SearchStrategy[Variant]:
    """Mostly one or two oddities at once, so that each of them is what a function meets."""
    usual = lambda options: st.one_of(st.just(options[0]), st.just(options[0]), st.sampled_from(options))
    axes = {name: usual(options) for name, options in AXES.items() if layer or name != "place"}
    return st.builds(Variant, **(axes | {"container": st.sampled_from(CONTAINERS)}))


def apply(variant: Variant, adata: Any, folder: Any) -> Any:
    """Return a new AnnData of that form."""
    rows = slice(None) if variant.n_obs is None else slice(variant.n_obs)
    columns = slice(None) if variant.n_vars is None else slice(variant.n_vars)
    adata = adata[rows, columns].copy()
    X = np.array(adata.X.toarray() if sp.issparse(adata.X) else adata.X)
    X = _dtype(_values(X, variant.values), variant.dtype)
    adata.X = np.zeros_like(X) if variant.place == "layer" else X
    if variant.place == "layer":
        adata.layers["given"] = X
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
    elif kind == "zero":
        X = np.zeros_like(X)
    elif kind == "huge":
        X = X.astype(np.float64) * 1e30
    return X


def _dtype(X: Any, kind: str) -> Any:
    if kind == "as is" or (not kind.startswith("float") and not np.isfinite(X).all()):
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
    if kind == "integers":
        return pd.Index(range(len(names)))
    if kind == "nullable":
        return pd.Index(names.astype("string"))
    if kind == "categorical":
        return pd.CategoricalIndex(names)
    if kind == "str":  # pandas 3; in pandas 2 the same as object
        return pd.Index(names.astype("str"))
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
