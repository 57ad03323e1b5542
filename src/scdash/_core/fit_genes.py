"""Genes of a fit against the genes that the data have now: renamed ones, and ones that were left out after the fit."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.display import first_names
from scdash._core.logging import logger

if TYPE_CHECKING:
    from anndata import AnnData


class GenesChangedError(KeyError, ValueError):
    """The genes of a fit are no longer those of the data; the message says what to do."""

    def __str__(self) -> str:  # KeyError shows its repr, which makes a sentence unreadable
        return str(self.args[0])


@dataclass(frozen=True)
class FitGenes:
    """The genes of a fit, and which of them the data still have."""

    names: NDArray[np.str_]  # (genes,), in the order of the model
    present: NDArray[np.bool_]  # (genes,)

    def rows(self, table: pd.DataFrame, *columns: str) -> pd.DataFrame:
        """Return the rows of a table whose genes, in all of these columns, the data still have."""
        if self.present.all():
            return table
        left = set(self.names[self.present])
        kept = np.ones(len(table), bool)
        for column in columns:
            kept &= table[column].astype(str).isin(left).to_numpy()
        return table[kept]


def fit_genes(
    data: "AnnData", names: Iterable[Any], slot: str, *, every: bool = False, what: str = "genes"
) -> FitGenes:
    """Compare the genes of a fit with `data.var_names`.

    None there: an error. Some of them gone: a line in the log with their number, or an error where `every` gene is
    needed. `slot` says where the fit is stored, for messages.
    """
    listed = np.array([str(name) for name in names], dtype=str)
    available = pd.Index(data.var_names).astype(str)
    present = np.asarray(pd.Index(listed).isin(available), dtype=bool)
    if len(listed) and not present.any():
        raise GenesChangedError(
            f"None of the {len(listed)} {what} of {slot} is in var_names: the fit has {_shown(listed)}, the data have "
            f"{_shown(available) or 'none'}. The {what} were renamed after the fit, or these are other data. Give var_names the "
            "names that were fitted, or fit these data."
        )
    gone = int((~present).sum())
    if gone and every:
        raise GenesChangedError(
            f"{gone} of the {len(listed)} {what} of {slot} are not in var_names, first {_shown(listed[~present])}: they "
            f"were left out or renamed after the fit, and all of them are needed here. Use the data that were fitted, or "
            "fit again."
        )
    if gone:
        logger.info(
            "    %d of the %d %s of %s are not in var_names; what is said of them is left out",
            gone,
            len(listed),
            what,
            slot,
        )
    return FitGenes(listed, present)


def _shown(names: Iterable[Any]) -> str:
    return first_names([repr(str(name)) for name in names])
