"""The arguments of a fit, to make it again."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from anndata import AnnData

from scdash._core.display import as_html, as_text, some_names
from scdash._core.process_state import guarded
from scdash._core.values import shown
from scdash.models.stored_settings import settings_of_fit

TITLE = "Arguments that repeat the fit: scdash.tl.fit_dynamics(adata, **settings)"


class FitArguments(dict[str, Any]):
    """Arguments of a fit by name: a dictionary that shows long lists and tables by their size."""

    def __repr__(self) -> str:
        return as_text(TITLE, self._facts())

    def _repr_html_(self) -> str:
        return as_html(TITLE, self._facts())

    def _facts(self) -> list[tuple[str, str]]:
        facts = [(name, _shortly(name, value)) for name, value in self.items()]
        return facts or [("(none)", "all arguments at their defaults")]


def _shortly(name: str, value: Any) -> str:
    if isinstance(value, pd.DataFrame):
        return f"table of {len(value):,} edges"
    if name in ("mask_var", "regulators") and isinstance(value, list):
        return some_names(value)
    return shown(value)


@guarded
def settings(adata: AnnData, *, key: str = "dynamics", without: Sequence[str] = ()) -> FitArguments:
    """Return the arguments of `scdash.tl.fit_dynamics` that repeat a fit.

    `scdash.tl.fit_dynamics(adata, **scdash.get.settings(adata))` gives the same network, bit for bit on a CPU, also after
    writing and reading the AnnData; `scdash.tl.cross_validate`, `sparsity_path` and `stability` take them as well. Arguments
    at their defaults are left out.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` or `scdash.tl.fit_perturbode` has written to.
    key
        The `key_added` of that fit.
    without
        Arguments that are left out, because the next call has its own.

    Returns
    -------
    dict
        Arguments by name: `model`, `sparsity`, `start`, `training` and `validation` as values, `prior` as the table of the edges
        in use, `mask_var` and `regulators` as lists of genes, and the columns of `obs` and the layer that were read. A
        checkpoint is not among them. Printed, long lists and tables are shown by their size.

    Raises
    ------
    NotFittedError
        If no fit is stored under `key`.
    ValueError
        If an argument was an object whose class is not known here; the message says which.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.

    Examples
    --------
    >>> again = scdash.get.settings(adata, without=("rng",))  # doctest: +SKIP
    >>> scdash.tl.fit_dynamics(adata, **again, rng=1, key_added="again")  # doctest: +SKIP
    """
    return FitArguments(settings_of_fit(adata, key, without=(without,) if isinstance(without, str) else without))
