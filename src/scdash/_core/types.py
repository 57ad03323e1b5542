"""The forms in which data are passed to functions: one name for each kind of argument, for signatures to agree on.

These are unions of real types and not texts, so that signatures in the documentation show what an argument takes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

Genes: TypeAlias = (
    str | Iterable[str] | Iterable[bool]
)  # a column of flags in var, names of genes, or one flag per gene
PriorLike: TypeAlias = str | pd.DataFrame  # an entry of varp, or a table with source, target and, if known, weight
TimesLike: TypeAlias = float | Sequence[float] | np.ndarray | pd.Series  # numbers
TimesOrTexts: TypeAlias = TimesLike | str | Sequence[str]  # also texts such as "D5"
StartLike: TypeAlias = Union["AnnData", "MuData", pd.DataFrame, np.ndarray, str, Iterable[str], Iterable[bool]]
FoldsLike: TypeAlias = (
    int | str | Sequence[int] | Sequence[str] | np.ndarray | pd.Series
)  # how many, or labels of cells
ScoresLike: TypeAlias = (
    str | Sequence[str] | pd.DataFrame | Mapping[str, pd.Series]
)  # columns of var, or scores by name
