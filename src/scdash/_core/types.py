"""The forms in which data are passed to functions, and the arrays that computations work on, by one name each.

Those of arguments are unions of real types and not texts, so that signatures in the documentation show what an argument takes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

# A column of flags in var, names of genes, or one flag per gene.
Genes: TypeAlias = str | Iterable[str] | Iterable[bool]
# An entry of varp, or a table with source, target and, if known, weight.
PriorLike: TypeAlias = str | pd.DataFrame
TimesLike: TypeAlias = float | Sequence[float] | np.ndarray | pd.Series
# Also texts such as "D5".
TimesOrTexts: TypeAlias = TimesLike | str | Sequence[str]
# Where predictions start: cells, states, or names or flags of cells.
StartLike: TypeAlias = Union["AnnData", "MuData", pd.DataFrame, np.ndarray, str, Iterable[str], Iterable[bool]]
# How many folds, a column of obs, or the label of every cell.
FoldsLike: TypeAlias = int | str | Sequence[int] | Sequence[str] | np.ndarray | pd.Series
# Columns of var, or scores of genes by name.
ScoresLike: TypeAlias = str | Sequence[str] | pd.DataFrame | Mapping[str, pd.Series]

Floats: TypeAlias = NDArray[np.floating[Any]]
Index: TypeAlias = NDArray[np.intp]
