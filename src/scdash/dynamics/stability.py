"""How often the edges of a network of dynamics are found when half of the data is drawn again."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.errors import suggest
from scdash._core.fit_settings import DATA_KEYS, keys_like_fit
from scdash._core.labels import check_key
from scdash._core.logging import step
from scdash._core.parallel import spread_all
from scdash._core.random_streams import RNG, as_generator
from scdash._data import group_codes, is_membership_table, largest_weights, obs_column, split_codes
from scdash._data.time_series.observations import Samples, kind_of
from scdash._data.time_series.sample_paths import read_sample_paths
from scdash.dynamics.call import FitCall, fit_of_call
from scdash.models.stored_settings import settings_of_fit
from scdash.resampling.draws import drawn_within, stratified_part
from scdash.resampling.stability import CONSISTENT, check_repeats, pairs_of_refits, ranked, write_result
from scdash.resampling.validation import Validation
from scdash.training import Training

NOT_REPEATED = ("rng", "n_models", "validation", "write_velocity")  # arguments of a fit that refits have of their own


def stability_dynamics(
    adata: AnnData,
    *,
    n_repeats: int = 10,
    fraction: float = 0.5,
    key: str = "dynamics",
    key_added: str = "dynamics_stability",
    n_jobs: int | None = None,
    rng: RNG = 0,
    **fit: Any,
) -> pd.DataFrame:
    """Fit dynamics again on random parts of the data and count how often each edge has a weight.

    Parts are whole trajectories where rows are states of several trajectories (`trajectory_key` and either
    `observations="states"` or at most 50 rows each), else cells, within their trajectory.

    Parameters
    ----------
    adata
        As for `scdash.tl.fit_dynamics`.
    n_repeats
        Refits.
    fraction
        Fraction of the trajectories or cells in each.
    key
        The `key_added` of the fit in question. Its columns of time, trajectories, batches and splits, its layer, genes,
        prior, regulators and kind of model are those of the refits, where no other ones are given. Without such a fit
        the arguments are those of `scdash.tl.fit_dynamics`.
    key_added
        Name of the result.
    n_jobs
        Processes of joblib; None: one, or what `joblib.parallel_config` says (loky, dask, ray).
    rng
        Seed or numpy Generator.
    **fit
        Arguments of `scdash.tl.fit_dynamics` that are to differ from those of the fit.

    Returns
    -------
    Table of edges, most frequent first: `source`, `target`, `frequency`, `mean_weight`. Written: `uns[key_added]`
    (`edges`, `params`, `report`).
    """
    check_repeats(n_repeats, "fraction", fraction)
    FitCall.of("stability", fit, {"copy": "refits are not kept."}).settle()
    if isinstance(fit.get("training"), Training) and fit["training"].checkpoint is not None:
        raise ValueError("checkpoint is not for stability: refits are not kept.")
    check_key(key_added)
    generator = as_generator(rng)
    fit = arguments_of_fit(adata, key, fit)
    with step(f"fitting dynamics {n_repeats} times on {fraction:.0%} of the data") as added:
        parts = [_part(adata, fraction, fit, generator) for _ in range(n_repeats)]
        seeds = generator.integers(2**31 - 1, size=n_repeats)
        pieces = [(adata, rows, int(seed), fit) for rows, seed in zip(parts, seeds, strict=True)]
        pairs, found = pairs_of_refits(spread_all(_edges, pieces, "refits", n_jobs=n_jobs))
        columns = {"source": pairs["source"], "target": pairs["target"]}
        table = ranked(columns | {"frequency": found.frequency, "mean_weight": found.mean}, by="mean_weight")
        often = int((table["frequency"] >= CONSISTENT).sum())
        entry = {
            "edges": table,
            "params": {"n_repeats": n_repeats, "fraction": fraction, "key": key},
            "report": f"{often} of {len(table)} edges ever found were found in at least {CONSISTENT:.0%} of {n_repeats} refits.",
        }
        return write_result(adata.uns, key_added, "edges", entry, added, "how often each edge was found")


def arguments_of_fit(adata: AnnData, key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `fit_dynamics` that repeat the fit under `key`, those `given` first; only these without one.

    The log says what was taken from the fit. What is done with a model after training is not repeated.
    """
    entry = adata.uns.get(key)
    if not isinstance(entry, Mapping) or "params" not in entry or "screen" in entry:
        return dict(given)
    keys = keys_like_fit(adata, key, {name: given.get(name) for name in DATA_KEYS})
    stored = settings_of_fit(adata, key, without=(*NOT_REPEATED, *DATA_KEYS, *given))
    genes = {} if "mask_var" in given else {"mask_var": np.asarray(adata.var_names.isin(stored["mask_var"]))}
    read = {name: value for name, value in keys.items() if value is not None}
    return stored | genes | {name: value for name, value in given.items() if name not in DATA_KEYS} | read


def _part(adata: AnnData, fraction: float, fit: dict[str, Any], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the rows of a random part: whole trajectories of states, or cells of every trajectory.

    Of trajectories that are labelled by `split_key`, the same fraction of every split is drawn, and at least one; two where
    all are of one split.
    """
    key, seen = fit.get("trajectory_key"), fit.get("observations", "auto")
    if isinstance(seen, Samples):
        return _part_of_samples(adata, seen, fraction, fit.get("split_key"), rng)
    group: NDArray[np.int64] = np.zeros(adata.n_obs, np.int64)
    names: tuple[str, ...] = ("all",)
    if key is not None:
        labels = largest_weights(adata, key) if is_membership_table(adata, key) else None
        labels = obs_column(adata, key, "trajectory_key") if labels is None else labels
        group, names = group_codes(labels, key, missing=True)
    sizes = np.bincount(group[group >= 0])
    kind = kind_of(seen)
    whole = kind == "states" or (kind == "auto" and sizes.max() <= 50)
    if whole:
        if len(names) < 4:
            hint = "" if key is not None else suggest("trajectory", adata.obs.columns)
            raise ValueError(
                f"trajectory_key={key!r}: only {len(names)} trajectories to draw from, 4 are needed.{hint}"
            )
        return np.flatnonzero(np.isin(group, _drawn(_split_of(adata, fit.get("split_key"), group), fraction, rng)))
    rows = [np.flatnonzero(group == g) for g in range(len(names))]
    return np.sort(np.concatenate(drawn_within(rows, lambda n: max(2, round(fraction * n)), rng)))


def _part_of_samples(
    adata: AnnData, samples: Samples, fraction: float, split_key: str | None, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the samples of a random fraction of what is left out together, and all that they were measured after."""
    paths = read_sample_paths(adata, samples)
    group = np.full(adata.n_obs, -1)
    group[paths.row] = paths.group.cat.codes  # a sample before a fork may get any of the groups that need it
    names = paths.group.cat.categories
    if len(names) < 4:
        raise ValueError(f"observations={samples!r}: only {len(names)} starts or branches to draw from, 4 are needed.")
    used = np.isin(group, _drawn(_split_of(adata, split_key, group), fraction, rng))
    for _ in range(adata.n_obs):
        before = paths.predecessor[used]
        before = before[before >= 0]
        if used[before].all():
            break
        used[before] = True
    return np.flatnonzero(used)


def _drawn(split: NDArray[np.int64], fraction: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a random fraction of some groups (groups,), at least one of every split, two where there is one split."""
    least = 2 if len(np.unique(split)) == 1 else 1
    return stratified_part(split, lambda n: max(least, round(fraction * n)), rng)


def _split_of(adata: AnnData, key: str | None, group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a number for the splits that each trajectory has rows of; the same for all without `key`."""
    if key is None:
        return np.zeros(group.max() + 1, np.int64)
    split = split_codes(obs_column(adata, key, "split_key"), key).astype(np.int64)
    found = np.zeros(group.max() + 1, np.int64)
    for code in np.unique(split[split >= 0]):
        found[np.unique(group[(split == code) & (group >= 0)])] += 2**code
    return found


def _edges(adata: AnnData, rows: NDArray[np.int64], seed: int, fit: dict[str, Any]) -> pd.DataFrame:
    """Return the edges of a fit of some rows, in the unit of the user's time."""
    call = FitCall(**{"progress": False, "validation": Validation(null_models=False), **fit, "rng": seed})
    found = fit_of_call(adata[rows].copy(), call, call.settle(), seed)
    edges = found.fit.edges.assign(weight=found.fit.edges["weight"] / found.inputs.observed.standard.scale)
    kept: pd.DataFrame = edges.loc[edges["weight"] != 0, ["source", "target", "weight"]]
    return kept.astype({"source": str, "target": str})
