"""The arguments of a fit, to make it again."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scdash._core.process_state import guarded
from scdash.fitting import settings_of_fit

if TYPE_CHECKING:
    from anndata import AnnData


@guarded
def settings(adata: "AnnData", *, key: str = "dynamics", without: Sequence[str] = ()) -> dict[str, Any]:
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
    Arguments by name: `model`, `sparsity`, `start`, `training` and `validation` as values, `prior` as the table of the edges
    in use, `mask_var` and `regulators` as lists of genes, and the columns of `obs` and the layer that were read. A
    checkpoint is not among them.

    Raises
    ------
    NotFittedError
        If no fit is stored under `key`.
    ValueError
        If an argument was an object whose class is not known here; the message says which.

    Examples
    --------
    >>> again = scdash.get.settings(adata, without=("rng",))  # doctest: +SKIP
    >>> scdash.tl.fit_dynamics(adata, **again, rng=1, key_added="again")  # doctest: +SKIP
    """
    return settings_of_fit(adata, key, without=(without,) if isinstance(without, str) else without)
