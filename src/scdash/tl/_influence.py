"""`gene_influence`: whose start value matters for everybody else."""

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.errors import unknown
from scdash._core.fit_record import stamp
from scdash._core.keys import genes_of, require_fit
from scdash._core.logging import progress_bar, step
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, as_generator, seed_of
from scdash._core.types import TimesLike
from scdash._data import all_genes, listed_names, sanitise
from scdash.networks import count_targets, module_from_entry, warn_without_targets
from scdash.networks.agreement import agreement
from scdash.networks.influence import Influence, Perturbations
from scdash.networks.influence import gene_influence as influence_of
from scdash.networks.prediction_starts import times_since_start

if TYPE_CHECKING:
    from anndata import AnnData

Starts = Literal["uniform", "data"]
Change = Literal["redraw", "low", "high"]
STARTS, CHANGES = ("uniform", "data"), ("redraw", "low", "high")
N_TIMES = 11


@guarded
def gene_influence(
    adata: "AnnData",
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
) -> "AnnData | None":
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
    entry: Any = require_fit(adata, key)
    _check_options(starts, change, n_starts, models)
    names = np.asarray(entry["genes"]).astype(str)
    genes_of(adata, entry, key)
    chosen = _chosen(genes, names)
    n_targets = count_targets(entry)
    if genes is not None:
        warn_without_targets(names, n_targets, among=chosen)
    seed = seed_of(rng)
    design = perturbations(entry, starts=starts, change=change, n_starts=n_starts, times=times, rng=seed)
    weights = [entry["weights"]] + (list((entry.get("replicates") or {}).values()) if models == "all" else [])
    unit = gene_range(entry)[1]
    with step(f"influence of {len(chosen)} genes ({n_starts} starts, {len(weights)} models)") as added:
        total = len(chosen) * len(weights)
        with progress_bar(total, "influence", progress=progress) as bar:
            found = []
            for number, one in enumerate(weights):
                model = module_from_entry(entry, one).to(_device(device))
                found.append(
                    influence_of(
                        model,
                        design,
                        genes=chosen,
                        unit=unit,
                        max_memory=max_memory,
                        n_jobs=n_jobs,
                        checkpoint=None if checkpoint is None else Path(checkpoint) / f"model{number}.npz",
                        progress=bar.update,
                    )
                )
        params = {
            "starts": starts,
            "change": change,
            "n_starts": n_starts,
            "models": models,
            "rng": seed,
        }
        result = sanitise(
            _result(
                found,
                names[chosen],
                design.times,
                params | {"steps": found[0].steps},
            )
        )
        table = (
            _table(found)
            .assign(n_targets=n_targets[chosen])
            .set_axis(names[chosen])
            .reindex(pd.Index(adata.var_names.astype(str)))
        )
        table.index = adata.var_names
        target = adata.copy() if copy else adata
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


def perturbations(
    entry: Any, *, starts: Starts, change: Change, n_starts: int, times: TimesLike | None, rng: RNG
) -> Perturbations:
    """Return start states, changed values and times for a fit, in the units of its data."""
    generator = as_generator(rng)
    lower, unit = gene_range(entry)
    states = np.asarray(entry["series"]["states"], dtype=np.float64)
    shape = (n_starts, len(lower))
    if starts == "uniform":
        x = lower + unit * generator.random(shape)
        redrawn = lower + unit * generator.random(shape)
    else:
        x = states[generator.integers(len(states), size=n_starts)]
        redrawn = states[generator.integers(len(states), size=shape), np.arange(shape[1])]
    edge = states.min(0) if change == "low" else states.max(0)
    values = redrawn if change == "redraw" else np.broadcast_to(edge, shape).copy()
    return Perturbations(x, values, _times(entry, times))


def gene_range(entry: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return minimum and range of every gene as the data were scaled for the fit, (genes,).

    The field may run in units stretched around the middle of the range, 1/2 + slope (x - 1/2); `entry["minimum"]` and
    `entry["range"]` are those.
    """
    slope = float(entry["params"].get("slope", 1.0))
    own, offset = np.asarray(entry["range"], dtype=np.float64), np.asarray(entry["minimum"], dtype=np.float64)
    return offset - own * (0.5 * slope - 0.5), own * slope


def longest_course(entry: Any) -> float:
    """Return the time from the first to the last state of the trajectory of a fit that lasts longest."""
    times = pd.Series(np.asarray(entry["series"]["time"]))
    return float(times.groupby(np.asarray(entry["series"]["trajectory"])).agg(np.ptp).max())


def _times(entry: Any, times: TimesLike | None) -> NDArray[np.float64]:
    if times is not None:
        return times_since_start(times).solved
    return np.asarray(np.linspace(0.0, longest_course(entry), N_TIMES), dtype=np.float64)


def _check_options(starts: str, change: str, n_starts: int, models: str) -> None:
    known = (("starts", starts, STARTS), ("change", change, CHANGES))
    for argument, value, options in known:
        if value not in options:
            raise unknown(argument, value, options)
    if models not in ("all", "main"):
        raise unknown("models", models, ("all", "main"))
    if n_starts != int(n_starts) or n_starts < 1:
        raise ValueError(f"n_starts must be a positive whole number, found {n_starts!r}.")


def _chosen(genes: Any, names: NDArray[Any]) -> NDArray[np.int64]:
    if genes is None:
        return np.arange(len(names))
    return np.unique(all_genes(listed_names(genes), names, "genes"))


def _device(device: str) -> str:
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _table(found: Sequence[Influence]) -> pd.DataFrame:
    by_model = np.column_stack([one.absolute.mean(1) for one in found])
    absolute = by_model.mean(1)
    return pd.DataFrame(
        {
            "absolute": absolute,
            "signed": np.mean([one.signed.mean(1) for one in found], axis=0),
            # the same starts serve all models, so their errors do not average out
            "standard_error": np.mean([one.standard_error for one in found], axis=0),
            "spread": by_model.std(1, ddof=1) if len(found) > 1 else np.full(len(absolute), np.nan),
            "shift": found[0].shift,
            "rank": pd.Series(-absolute).rank(method="min").to_numpy(),
        }
    )


def _result(
    found: Sequence[Influence], genes: NDArray[Any], times: NDArray[Any], params: dict[str, Any]
) -> dict[str, Any]:
    by_model = np.column_stack([one.absolute.mean(1) for one in found])
    found_by_time = {
        "params": params,
        "genes": genes,
        "times": times,
        "absolute": np.mean([one.absolute for one in found], axis=0),
        "signed": np.mean([one.signed for one in found], axis=0),
        "by_model": by_model,
        # the main model is another kind of fit than the replicates, but no less an answer
        "agreement": agreement(by_model),
    }
    return stamp(found_by_time)
