"""The fitted network as a torch module."""

from typing import TYPE_CHECKING, Any

from scdash._errors import unknown
from scdash._keys import require_fit
from scdash.networks import module_from_entry

if TYPE_CHECKING:
    from scdash.bottleneck import SparseBottleneck
    from scdash.networks import DynamicsModel


def model(adata: Any, *, key: str | None = None, replicate: int | None = None) -> "DynamicsModel | SparseBottleneck":
    """Rebuild the fitted model from `adata.uns[key]`.

    The module needs nothing of `adata` but that entry: it is the same after writing and reading, and after
    subsetting cells or genes.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to, or a MuData that `scdash.tl.sbnn` has written to.
    key
        The `key_added` of that fit; None: "dynamics" for AnnData, "sbnn" for MuData.
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

    Examples
    --------
    >>> model = scdash.get.model(adata)  # doctest: +SKIP
    >>> model(0.0, torch.as_tensor(adata[:, model.genes].X))  # doctest: +SKIP
    """
    if hasattr(adata, "mod"):
        from scdash.get._sbnn import model_from_mudata

        return model_from_mudata(adata, key=key or "sbnn")
    entry = require_fit(adata.uns, key or "dynamics")
    if replicate is None:
        return module_from_entry(entry)
    replicates: dict[str, Any] = entry.get("replicates") or {}  # type: ignore[assignment]
    if str(replicate) not in replicates:
        raise unknown("replicate", str(replicate), replicates)
    return module_from_entry(entry, replicates[str(replicate)])
