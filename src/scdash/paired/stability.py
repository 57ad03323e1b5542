"""Which genes a network selects again when it is trained again."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData

from scdash._core.logging import step
from scdash._core.parallel import use_jobs
from scdash._core.random_streams import RNG, seed_of
from scdash._core.types import Genes
from scdash.paired import BottleneckFit, BottleneckTraining, Fold, Standardize, fit_networks, training_of
from scdash.paired.evaluation import check_sizes
from scdash.paired.reading import Missing, Paired, read_paired
from scdash.paired.score_tables import selection_table
from scdash.paired.store import check_slots, versions
from scdash.resampling.draws import stratified_part
from scdash.resampling.stability import check_repeats, write_result


def stability_mudata(
    mdata: MuData,
    *,
    x: str = "rna",
    y: str = "ephys",
    n_repeats: int = 10,
    subsample: float = 1.0,
    n_latent: int = 2,
    n_features: int = 25,
    training: BottleneckTraining | None = None,
    layer: str | None = None,
    y_layer: str | None = None,
    mask_var: Genes | None = None,
    missing: Missing = "raise",
    standardize: Standardize = "train",
    allow_counts: bool = False,
    key_added: str = "sbnn_stability",
    rng: RNG = 0,
    device: str = "auto",
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Train a sparse bottleneck network again and again and count how often each gene is selected (paper: Figure 4).

    Repeats differ in initial weights, the order of cells and the clusters of pre-training, and train as one stack. The
    tuning after pruning cannot change the genes and is left out.

    Parameters
    ----------
    mdata, x, y, n_latent, n_features, training, layer, y_layer, mask_var, missing, standardize, allow_counts, rng, device, progress
        As for `scdash.tl.sbnn`.
    n_repeats
        Networks trained.
    n_jobs
        Processes of joblib; None: one, or what `joblib.parallel_config` says.
    subsample
        Fraction of the cells each of them sees, drawn at random; 1 (the paper): all, so that only training is random.
    key_added
        Name of the results in `mdata.uns`.

    Returns
    -------
    Table with one row per gene, most frequent first: `gene`, `frequency` (fraction of repeats), `count`, `norm` (mean
    first-layer norm before pruning). `table.attrs["report"]` says it in words. Written:

    `mdata.uns["sbnn_stability"]` : params, selection (the table), selected (repeats x n_features names), metrics
    (`shared`: mean number of genes two repeats share; `always`, `once`: genes selected every time, only once), report

    Examples
    --------
    >>> table = scdash.tl.stability(mdata, n_repeats=10)  # doctest: +SKIP
    >>> scdash.pl.gene_selection(mdata)  # doctest: +SKIP
    """
    constants = replace(training_of(training), tuning_epochs=1)
    check_slots(mdata, x, y, key_added)
    check_repeats(n_repeats, "subsample", subsample, whole=True)
    seed = seed_of(rng)
    with step(f"selecting genes {n_repeats} times ({x} to {y}, {n_latent} latent)") as added, use_jobs(n_jobs):
        data = read_paired(
            mdata, x, y, layer=layer, y_layer=y_layer, mask_var=mask_var, missing=missing, allow_counts=allow_counts
        )
        repeats = draw_repeats(len(data.cells), n_repeats, subsample, seed)
        check_sizes(data, n_latent, n_features, constants.n_clusters, len(repeats[0].train), standardize)
        fits = fit_networks(
            data.matrix,
            data.features_matrix,
            repeats,
            n_latent=n_latent,
            n_features=n_features,
            schedule=constants,
            standardize=standardize,
            autoencoder=False,
            rng=seed,
            device=device,
            progress=progress,
            description=f"sBNN, {n_repeats} repeats",
        )
        params: dict[str, Any] = {"model": "sbnn_stability", "x": x, "y": y, "n_repeats": n_repeats}
        params |= {"subsample": subsample, "n_latent": n_latent, "n_features": n_features, "rng": seed}
        params |= {"schedule": constants.config()}
        entry = stability_entry(data, fits, params)
        return write_result(mdata.uns, key_added, "selection", entry, added, "how often each gene was selected")


def draw_repeats(cells: int, n_repeats: int, subsample: float, seed: int) -> list[Fold]:
    """Return the training cells of every repeat; none is tested."""
    draws, none = np.random.default_rng([seed, 3]), np.zeros(0, dtype=np.intp)
    alike = np.zeros(cells, np.int64)
    parts = [stratified_part(alike, lambda n: round(subsample * n), draws) for _ in range(n_repeats)]
    return [Fold(str(k), np.sort(part), none) for k, part in enumerate(parts)]


def stability_entry(data: Paired, fits: Sequence[BottleneckFit], params: dict[str, Any]) -> dict[str, Any]:
    """Count how often each gene was selected and how many genes two repeats share, and put it into words."""
    table = selection_table(fits, data.genes)
    shared = [len(np.intersect1d(a.selected, b.selected)) for a, b in combinations(fits, 2)]
    count = table["count"].to_numpy()
    metrics = {"shared": float(np.mean(shared)), "always": int((count == len(fits)).sum())}
    metrics |= {"once": int((count == 1).sum()), "ever": int((count > 0).sum())}
    names = np.asarray(data.genes, dtype=str)
    return {
        "params": {**params, "versions": versions()},
        "selection": table,
        "selected": np.stack([names[fit.selected] for fit in fits]),
        "metrics": metrics,
        "report": (
            f"two of {len(fits)} runs share {metrics['shared']:.1f} of {params['n_features']} genes on average; "
            f"{metrics['always']} genes were selected every time, {metrics['once']} only once."
        ),
    }
