"""`network_stats` and `coregulation`: the fitted network in figures."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from scdash._core.errors import NotFittedError, check_data, check_least
from scdash._core.fit_record import stamp
from scdash._core.keys import DynamicsKeys, check_genes
from scdash._core.logging import step
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, seed_of
from scdash._data import sanitise, writable
from scdash.networks.motifs import motif_table
from scdash.networks.statistics import degrees, effect_correlations, summary


@guarded
def network_stats(
    adata: AnnData, *, key: str = "dynamics", n_random: int = 100, rng: RNG = 0, copy: bool = False
) -> AnnData | None:
    """Count edges, hubs and signed motifs of the fitted network.

    Motifs (feed-forward loops by the signs of their edges, circles of three, pairs, self edges; Mangan and Alon 2003)
    are compared with networks in which every gene keeps its numbers of activating and repressing edges in and out.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to.
    key
        The `key_added` of the fit.
    n_random
        Rewired networks to compare motifs with; 0 leaves motifs out.
    rng
        Seed or numpy Generator of the rewiring.
    copy
        Return a copy with the result instead of writing to `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. Written:
    `varm[f"{key}_network"]` : DataFrame (n_vars rows)
        `out_degree`, `in_degree`, `activates`, `represses`, `out_strength`, `in_strength`, `hub`, `authority`.
    `uns[f"{key}_network"]` : dict
        `summary` (edges, density, regulators, targets, average out-degree, ...) and `motifs` (DataFrame motif, count,
        expected, sd, z, p_value).

    Raises
    ------
    NotFittedError
        If no network is stored under `key`.

    See Also
    --------
    scdash.get.grn : Return the network as a table of edges, strongest evidence first.
    scdash.tl.coregulation : Correlate the effects of every two regulators that share a target.

    Examples
    --------
    >>> scdash.tl.network_stats(adata)  # doctest: +SKIP
    >>> adata.varm["dynamics_network"].sort_values("out_degree").tail()  # doctest: +SKIP
    """
    network = _network(adata, key)
    with step("network statistics") as added:
        table = degrees(network).set_index(adata.var_names)
        modelled = _modelled(adata, key)
        result: dict[str, Any] = {"summary": summary(network[modelled][:, modelled])}
        if n_random:
            result["motifs"] = motif_table(network, n_random=n_random, rng=seed_of(rng))
        clean = sanitise(stamp(result))
        target = writable(adata, copy=copy)
        target.varm[f"{key}_network"] = table
        target.uns[f"{key}_network"] = clean
        added.append(f"added varm[{f'{key}_network'!r}], degrees and hubs; uns[{f'{key}_network'!r}], summary, motifs")
    return target if copy else None


@guarded
def coregulation(adata: AnnData, *, key: str = "dynamics", min_targets: int = 2, copy: bool = False) -> AnnData | None:
    """Correlate the effects of every two regulators that share a target.

    The paper's "correlation between effects of causal variables" (Hossain, Fischer et al. 2024, Figure 2), over all
    genes as targets; drawn by `scdash.pl.coregulation`.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to.
    key
        The `key_added` of the fit.
    min_targets
        Regulators with fewer targets are left out: two with one and the same target correlate perfectly.
    copy
        Return a copy with the result instead of writing to `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. Written:
    `varp[f"{key}_coregulation"]` : CSR float32 (n_vars, n_vars)
        Pearson's correlation of the effects of two regulators, symmetric; not stored: no shared target.

    Raises
    ------
    NotFittedError
        If no network is stored under `key`.

    See Also
    --------
    scdash.pl.coregulation : Draw the correlation between regulators' effects on all targets (Figure 2 of the DASH paper).
    scdash.tl.network_stats : Count edges, hubs and signed motifs of the fitted network.

    Examples
    --------
    >>> scdash.tl.coregulation(adata)
    >>> adata.varp["dynamics_coregulation"].shape == adata.varp["dynamics_grn"].shape
    True
    """
    check_least("min_targets", min_targets, 1)
    network = _network(adata, key)
    modelled = np.flatnonzero(_modelled(adata, key))
    with step("coregulation") as added:
        inner = effect_correlations(network[modelled][:, modelled], min_targets=min_targets)
        entries = sp.coo_array(inner)
        row, column = (modelled[part] for part in entries.coords)
        full = sp.csr_matrix((entries.data.astype(np.float32), (row, column)), shape=network.shape)
        target = writable(adata, copy=copy)
        target.varp[f"{key}_coregulation"] = full
        added.append(f"added varp[{f'{key}_coregulation'!r}], correlation of regulators' effects")
    return target if copy else None


def _network(adata: AnnData, key: str) -> sp.csr_matrix:
    check_data(adata)
    slot = DynamicsKeys(key).grn
    if slot not in adata.varp:
        raise NotFittedError(
            f"No network under adata.varp[{slot!r}]. Run `scdash.tl.fit_dynamics(adata, key_added={key!r})` first."
        )
    check_genes(adata, key)
    return sp.csr_matrix(adata.varp[slot])


def _modelled(adata: AnnData, key: str) -> np.ndarray[Any, Any]:
    """Return which genes were modelled; all, where the mask is gone."""
    slot = DynamicsKeys(key).genes
    return np.asarray(adata.var[slot], dtype=bool) if slot in adata.var else np.ones(adata.n_vars, dtype=bool)
