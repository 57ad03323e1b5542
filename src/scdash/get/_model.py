"""The fitted network as a torch module."""

from typing import TYPE_CHECKING, Any

import torch

from scdash._core.errors import check_choice
from scdash._core.fit_record import FitFormatError
from scdash._core.keys import require_fit, stored_key
from scdash._core.process_state import guarded
from scdash.networks import module_from_entry

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from scdash.networks import DynamicsModel
    from scdash.paired.bottleneck_module import SparseBottleneck


@guarded
def model(
    adata: "AnnData | MuData", *, key: str | None = None, replicate: int | None = None
) -> "DynamicsModel | SparseBottleneck":
    """Rebuild the fitted model from `adata.uns[key]`.

    The module needs nothing of `adata` but that entry: it is the same after writing and reading, and after
    subsetting cells or genes.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to, or a MuData that `scdash.tl.sbnn` has written to.
    key
        The `key_added` of that fit; None: "dynamics" for AnnData, for MuData "sbnn" or the only fit there is.
    replicate
        Number of a replicate model (from 1) of a fit with `n_models > 1`; None is the main model.

    Returns
    -------
    DynamicsModel or SparseBottleneck
        For dynamics `model(t, x)` returns dx/dt for x (cells, genes), with `model.genes` in the columns, in the units of the data.

    Raises
    ------
    NotFittedError
        If no fit is stored under `key`.
    ValueError
        If what is stored there is no readable fit.

    See Also
    --------
    scdash.tl.predict : Predict expression over time with a fitted model of dynamics, or features of cells with a bottleneck network.
    scdash.get.settings : Return the arguments of `scdash.tl.fit_dynamics` that repeat a fit.

    Examples
    --------
    >>> model = scdash.get.model(adata)  # doctest: +SKIP
    >>> model(0.0, torch.as_tensor(adata[:, model.genes].X))  # doctest: +SKIP
    """
    key = stored_key(adata, key)
    if hasattr(adata, "mod"):
        from scdash.get._sbnn import model_from_mudata

        return model_from_mudata(adata, key=key)
    entry = require_fit(adata, key)
    if replicate is None:
        return _rebuilt(entry, None, key)
    replicates: dict[str, Any] = entry.get("replicates") or {}
    check_choice("replicate", str(replicate), replicates)
    return _rebuilt(entry, replicates[str(replicate)], key)


def _rebuilt(entry: Any, weights: Any, key: str) -> "DynamicsModel":
    """Return the module after one evaluation, so that a file that was damaged or changed is named here, not later."""
    try:
        module = module_from_entry(entry, weights)
        with torch.no_grad():
            module(0.0, torch.zeros(1, len(module.genes), dtype=module.minimum.dtype))
    except FitFormatError:
        raise
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        raise ValueError(
            f"adata.uns[{key!r}] holds no readable fit: it was changed or damaged ({type(error).__name__}: {error}). "
            f"Read the file again, or fit again with key_added={key!r}."
        ) from error
    return module
