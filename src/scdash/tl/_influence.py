"""`gene_influence`: whose start value matters for everybody else."""

from collections.abc import Iterable
from os import PathLike
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.errors import check_choice
from scdash._core.keys import genes_of, require_fit, require_timed_fit
from scdash._core.logging import step
from scdash._core.parallel import resolve_device
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, seed_of
from scdash._core.types import TimesLike
from scdash._data import all_genes, listed_names, sanitise, writable
from scdash.networks import count_targets, warn_without_targets, weights_of_models
from scdash.networks.influences.of_fit import (
    Change,
    Starts,
    influence_entry,
    influence_table,
    influences_of_models,
    perturbations,
)


@guarded
def gene_influence(
    adata: AnnData,
    *,
    key: str = "dynamics",
    starts: Starts = "uniform",
    change: Change = "redraw",
    n_starts: int = 200,
    times: TimesLike | None = None,
    genes: str | Iterable[str] | None = None,
    models: Literal["all", "main"] = "all",
    max_memory: float = 512e6,
    n_jobs: int | None = None,
    checkpoint: str | PathLike[str] | None = None,
    device: str = "auto",
    rng: RNG = 0,
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Measure how far a change of one gene moves the predicted trajectories of all others.

    For start states :math:`x_k`, copies :math:`x_k^j` in which gene j alone takes another value, and times t > 0
    (Hossain, Fischer et al. 2024, B.8),

    .. math:: I_j = \frac{1}{K |T| (n - 1)} \sum_k \sum_{t > 0} \sum_{i \neq j} |x_i^j(t)_k - x_i(t)_k|,

    in units of the genes' ranges. The signed influence averages the difference itself, times the sign of the change of
    gene j: positive where raising j raises the others. (The paper divides by n and by the number of times including
    the start, which is the same up to a factor.) Steps are
    halved until that changes the influences of a sample by less than 0.05 %.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to.
    key
        The `key_added` of the fit.
    starts
        "uniform": independent uniform numbers between each gene's minimum and maximum, as in the paper; no cell looks
        like that. "data": states that the model was fitted on.
    change
        "redraw": another value from where the starts come from, as in the paper. "low", "high": the lowest or highest
        value of the gene in the fitted states.
    n_starts
        Number K of start states. The cost is in proportion to it, and to the genes changed; `standard_error` says what
        more starts would gain.
    times
        Increasing times since the start, which is 0 whether or not it is among them; the influence is measured at those
        after it. None: eleven equal steps over the longest fitted trajectory.
    genes
        Genes to change; None: all. Others get NaN.
    models
        "all": the mean over the main and every replicate model (`n_models > 1`), with their spread. "main": that alone.
    max_memory
        Bytes a block of states may take.
    n_jobs
        Processes; None obeys `joblib.parallel_config`.
    checkpoint
        Folder that keeps finished blocks; the same call goes on from there.
    device
        "auto" (CUDA if there is one), "cpu", "cuda", ...
    rng
        Seed or numpy Generator of the start states.
    progress
        Show a progress bar; None: if `scdash.settings.verbosity` is at least 2 and it takes over two seconds.
    copy
        Return a copy with the result instead of writing to `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. Written:
    `varm[f"{key}_influence"]` : DataFrame (n_vars rows)
        `absolute`, `signed`, `standard_error` (of `absolute`, from the drawn starts), `spread` (standard deviation of
        `absolute` over models), `shift` (mean size of the change itself), `rank` (1: strongest), `n_targets` (genes
        that it regulates in the fitted network; a gene with 0 has an influence of 0, and is warned about if it was
        named by `genes`). NaN: not computed.
    `uns[f"{key}_influence"]` : dict
        `params`, `genes`, `times`, `absolute` and `signed` by time (genes, times - 1), `by_model` (genes, models),
        `agreement` of the models (rank correlation, overlap of the top 20).

    Raises
    ------
    NotFittedError
        If no fit is stored under `key`.
    NonFiniteError
        If a trajectory leaves the finite numbers; the gene is named.

    See Also
    --------
    scdash.get.influence : Return the influence of every gene, strongest first.
    scdash.pl.influence : Draw the most influential genes, with the spread over the models of an ensemble, or their influence over time.
    scdash.tl.pathways : Test which gene sets gather influential genes, several fits and controls side by side.

    Examples
    --------
    >>> scdash.tl.gene_influence(adata, starts="data")  # doctest: +SKIP
    >>> scdash.get.influence(adata).head()  # doctest: +SKIP
    """
    entry: Any = (
        require_fit(adata, key) if times is not None else require_timed_fit(adata, key, "name times, such as [0, 1, 5]")
    )
    _check_options(starts, change, n_starts, models)
    names = np.asarray(entry["genes"]).astype(str)
    genes_of(adata, entry, key)
    chosen = _chosen(genes, names)
    n_targets = count_targets(entry)
    if genes is not None:
        warn_without_targets(names, n_targets, among=chosen)
    seed = seed_of(rng)
    design = perturbations(entry, starts=starts, change=change, n_starts=n_starts, times=times, rng=seed)
    weights = weights_of_models(entry)[: None if models == "all" else 1]
    with step(f"influence of {len(chosen)} genes ({n_starts} starts, {len(weights)} models)") as added:
        found = influences_of_models(
            entry,
            weights,
            design,
            chosen,
            device=str(resolve_device(device)),
            max_memory=max_memory,
            n_jobs=n_jobs,
            checkpoint=checkpoint,
            progress=progress,
        )
        params = {"starts": starts, "change": change, "n_starts": n_starts, "models": models, "rng": seed}
        result = sanitise(influence_entry(found, names[chosen], design.times, params | {"steps": found[0].steps}))
        table = influence_table(found).assign(n_targets=n_targets[chosen]).set_axis(names[chosen])
        table = table.reindex(pd.Index(adata.var_names.astype(str)))
        table.index = adata.var_names
        target = writable(adata, copy=copy)
        target.varm[f"{key}_influence"] = table
        target.uns[f"{key}_influence"] = result
        added.append(f"added varm[{f'{key}_influence'!r}], uns[{f'{key}_influence'!r}] (see scdash.get.influence)")
        if len(weights) > 1:
            same = result["agreement"]
            added.append(
                f"two models agree on {same['top_overlap']:.1f} of the top {same['top']:.0f} genes "
                f"(chance {same['chance_overlap']:.1f}), rank correlation {same['rank_correlation']:.2f}"
            )
    return target if copy else None


def _check_options(starts: str, change: str, n_starts: int, models: str) -> None:
    check_choice("starts", starts, get_args(Starts))
    check_choice("change", change, get_args(Change))
    check_choice("models", models, ("all", "main"))
    if n_starts != int(n_starts) or n_starts < 1:
        raise ValueError(f"n_starts must be a positive whole number, found {n_starts!r}.")


def _chosen(genes: str | Iterable[str] | None, names: NDArray[Any]) -> NDArray[np.int64]:
    if genes is None:
        return np.arange(len(names))
    return np.unique(all_genes(listed_names(genes), names, "genes"))
