"""Which genes a network or a regression selects again when it is fitted again."""

from collections.abc import Sequence
from inspect import signature
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData
from numpy.typing import NDArray

from scdash._core.logging import step
from scdash._core.parallel import use_jobs
from scdash._core.random_streams import RNG, seed_of
from scdash._core.types import Genes
from scdash.paired.panels import PanelModel, panel_of
from scdash.paired.reading import Missing, Paired, read_paired
from scdash.paired.result import BottleneckFit
from scdash.paired.score_tables import selection_table
from scdash.paired.store import check_slots, versions
from scdash.resampling.draws import stratified_part
from scdash.resampling.folds import Fold
from scdash.resampling.stability import check_repeats, write_result


def stability_mudata(
    mdata: MuData,
    *,
    model: PanelModel = "sbnn",  # "sbnn" (`scdash.tl.sbnn`) or "srrr" (`scdash.tl.srrr`)
    x: str = "rna",
    y: str = "ephys",
    n_repeats: int = 10,  # models fitted
    subsample: float | None = None,
    layer: str | None = None,
    y_layer: str | None = None,
    mask_var: Genes | None = None,
    missing: Missing = "raise",
    allow_counts: bool = False,
    key_added: str | None = None,  # name of the results in `mdata.uns`; None: "sbnn_stability" or "srrr_stability"
    rng: RNG = 0,
    n_jobs: int | None = None,  # processes of joblib; None: one, or what `joblib.parallel_config` says
    **fit: Any,
) -> pd.DataFrame:
    """Fit a network or a regression again and again and count how often each gene is selected (paper: Figure 4).

    Networks differ in initial weights, the order of cells and the clusters of pre-training, and train as one stack. The
    tuning after pruning cannot change their genes and is left out. A regression has no randomness of its own: what its
    repeats differ in is the half of the cells that each of them sees.

    `mdata`, `x`, `y`, `layer`, `y_layer`, `mask_var`, `missing`, `allow_counts`, `rng`: as for `scdash.tl.sbnn`.
    `subsample`: fraction of the cells each of them sees, drawn at random. None: 1 for networks (the paper), so that
    only training is random, and 0.5 for regressions, which are the same on the same cells. `fit`: the other arguments
    of the model: `n_features`, `standardize`, `progress`; of networks `n_latent`, `training`, `device`; of regressions
    `rank`, `lam`, `alpha`, `relaxed`.

    The result is a table with one row per gene, most frequent first: `gene`, `frequency` (fraction of repeats),
    `count`, `norm` (mean norm of its weights before pruning, or in the unrelaxed fit). `table.attrs["report"]` says it
    in words. Written: `mdata.uns["sbnn_stability"]` : params, selection (the table), selected (repeats x genes, names;
    rows of a regression that selected fewer are filled with ""), metrics (`shared`: mean number of genes two repeats
    share; `always`, `once`: genes selected every time, only once), report.

    Examples
    --------
    >>> table = scdash.tl.stability(mdata, n_repeats=10)  # doctest: +SKIP
    >>> table = scdash.tl.stability(mdata, model="srrr", rank=2, n_features=5, n_repeats=3)
    >>> axes = scdash.pl.gene_selection(mdata, key="srrr_stability")
    """
    panel = panel_of("stability", model, fit, fixed=signature(stability_mudata).parameters)
    key = f"{model}_stability" if key_added is None else key_added
    check_slots(mdata, x, y, key)
    fraction = (1.0 if model == "sbnn" else 0.5) if subsample is None else subsample
    check_repeats(n_repeats, "subsample", fraction, whole=model == "sbnn")
    seed = seed_of(rng)
    with step(f"selecting genes {n_repeats} times by {model} ({x} to {y})") as added, use_jobs(n_jobs):
        data = read_paired(
            mdata, x, y, layer=layer, y_layer=y_layer, mask_var=mask_var, missing=missing, allow_counts=allow_counts
        )
        repeats = draw_repeats(len(data.cells), n_repeats, fraction, seed)
        panel.check(data, len(repeats[0].train))
        fits = panel.only_genes().fit(data, repeats, seed)[0]
        params: dict[str, Any] = {"model": f"{model}_stability", "x": x, "y": y, "n_repeats": n_repeats}
        params |= {"subsample": fraction, "rng": seed, **panel.config(len(repeats[0].train))}
        entry = stability_entry(data, fits, params)
        return write_result(mdata.uns, key, "selection", entry, added, "how often each gene was selected")


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
    numbers = sorted({len(fit.selected) for fit in fits})
    sizes = " to ".join(str(number) for number in dict.fromkeys((numbers[0], numbers[-1])))
    return {
        "params": {**params, "versions": versions()},
        "selection": table,
        "selected": _names(fits, names),
        "metrics": metrics,
        "report": (
            f"two of {len(fits)} runs share {metrics['shared']:.1f} of {sizes} genes on average; "
            f"{metrics['always']} genes were selected every time, {metrics['once']} only once."
        ),
    }


def _names(fits: Sequence[BottleneckFit], names: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return the names of the genes that each fit selected, (fits, most genes), filled up with empty texts."""
    table = np.full((len(fits), max(len(fit.selected) for fit in fits)), "", dtype=names.dtype)
    for row, fit in zip(table, fits, strict=True):
        row[: len(fit.selected)] = names[fit.selected]
    return table
