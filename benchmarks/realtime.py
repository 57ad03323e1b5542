"""Real time courses with known networks: `python -m benchmarks.realtime [--rows irma sos semrau hsmm] [--seeds 3]`.

Needs the reference data (SCDASH_REFERENCE_DATA, default ../shared/data) and POT for cells. Writes results/realtime/runs.csv (every
run), summary.csv and realtime.png.

AUPRC of `get.grn(candidates=True)`, by rank, over all judged pairs of different genes, divided by the fraction of true ones (1 is
chance). Fits have default arguments beyond the keys and see no prior. Networks this small reach 1.3 by luck: IRMA has 20
pairs, SOS 56. The myoblasts' network is the shipped list of curated myogenic edges: pairs of its sources and targets.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._rows import OURS, Row, bars, main, reference
from benchmarks.direction import data

RATIO, CPU = "AUPRC / chance", "CPU seconds"
NETWORK, SHUFFLED = f"{OURS}, edges of the network alone", f"{OURS}, time shuffled"
PEARSON, LAGGED = "|Pearson|", "|Pearson| of the next time"
COLORS = {OURS: "#0072B2", NETWORK: "#56B4E9", SHUFFLED: "#999999", PEARSON: "#E69F00", LAGGED: "#CC79A7"}


def irma(seed: int) -> Iterator[Row]:
    """Yield figures of the synthetic yeast network of five genes, switched on and off (qPCR)."""
    adata, truth = small("irma")
    jump = (adata.obs["series"] == "switch_off") & (adata.obs["time_min"] == 0)  # before the medium was changed
    yield from judged("IRMA, bulk", adata[~jump].copy(), pairs_of(adata, truth), "time_min", "series", seed)


def sos(seed: int) -> Iterator[Row]:
    """Yield figures of the SOS response of E. coli: eight promoters, one course."""
    adata, truth = small("sos")
    yield from judged("SOS, bulk", adata, pairs_of(adata, truth), "time_min", "series", seed)


def semrau(seed: int) -> Iterator[Row]:
    """Yield figures of mouse ES cells at nine times, judged by the pairs that ChIP tested."""
    pairs = data.chip_pairs().rename(columns={"chip_support": "true"})
    yield from judged("Semrau, cells", data.semrau("log1p"), pairs, "hours", None, seed)


def hsmm(seed: int) -> Iterator[Row]:
    """Yield figures of human myoblasts at four times, judged by curated edges of myogenesis."""
    import scdash

    adata = data.hsmm()
    truth = scdash.datasets.myogenic_prior()
    truth = truth[truth["source"].isin(adata.var_names) & truth["target"].isin(adata.var_names)]
    some = adata[:, adata.var_names.isin([*truth["source"], *truth["target"]])]
    pairs = pairs_of(some, truth)
    pairs = pairs[pairs["source"].isin(truth["source"])]
    yield from judged("HSMM, cells", adata, pairs, "hours", None, seed, regulators="is_tf")


def small(name: str) -> tuple[Any, pd.DataFrame]:
    """Return a course of the folder irma_sos and its edges."""
    import anndata

    adata = anndata.read_h5ad(reference() / "irma_sos" / f"{name}.h5ad")
    return adata, adata.uns["truth"].rename(columns={"regulator": "source"})


def pairs_of(adata: Any, truth: pd.DataFrame) -> pd.DataFrame:
    """Return all ordered pairs of different genes with the flag `true`."""
    known = set(zip(truth["source"], truth["target"], strict=True))
    pairs = [(a, b, (a, b) in known) for a in adata.var_names for b in adata.var_names if a != b]
    return pd.DataFrame(pairs, columns=["source", "target", "true"])


def judged(
    name: str, adata: Any, pairs: pd.DataFrame, time_key: str, series: str | None, seed: int, **options: Any
) -> Iterator[Row]:
    """Yield the ratio of every predictor on the judged pairs."""
    began = time.process_time()
    edges = fitted(adata, time_key, series, seed, **options)
    yield Row(name, CPU, OURS, seed, time.process_time() - began)
    other = adata.copy()
    other.obs[time_key] = shuffled(adata, time_key, series, seed)
    lists = {
        OURS: edges,
        NETWORK: edges[edges["weight"] != 0],
        SHUFFLED: fitted(other, time_key, series, seed, **options),
    }
    for predictor, listed in lists.items():
        place = pd.Series(-listed["rank"].to_numpy(), index=pd.MultiIndex.from_frame(listed[["source", "target"]]))
        score = place.reindex(pd.MultiIndex.from_frame(pairs[["source", "target"]]), fill_value=-(10**9))
        yield Row(name, RATIO, predictor, seed, ratio(pairs["true"].to_numpy(), score.to_numpy()))
    at = [adata.var_names.get_indexer(pairs[end]) for end in ("source", "target")]
    for predictor, matrix in correlations(adata, time_key, series).items():
        yield Row(name, RATIO, predictor, seed, ratio(pairs["true"].to_numpy(), matrix[at[0], at[1]]))


def fitted(adata: Any, time_key: str, series: str | None, seed: int, **options: Any) -> pd.DataFrame:
    """Return all ranked pairs of the default fit."""
    import scdash

    adata = adata.copy()
    scdash.tl.fit_dynamics(
        adata, time_key=time_key, trajectory_key=series, rng=seed, progress=False,
        validation=scdash.Validation(null_models=False), **options,
    )  # fmt: skip
    return scdash.get.grn(adata, candidates=True)


def shuffled(adata: Any, time_key: str, series: str | None, seed: int) -> Any:
    """Return the times, permuted within each series."""
    rng = np.random.default_rng(1000 + seed)
    times = adata.obs[time_key].to_numpy().copy()
    label = np.zeros(adata.n_obs) if series is None else adata.obs[series].astype(str).to_numpy()
    for one in np.unique(label):
        times[label == one] = rng.permutation(times[label == one])
    return times


def correlations(adata: Any, time_key: str, series: str | None) -> dict[str, Any]:
    """Return |Pearson| over rows, and of the mean state of every time with that of the next, as (source, target)."""
    x = np.asarray(adata.X.toarray() if hasattr(adata.X, "toarray") else adata.X, dtype=np.float64)
    frame = pd.DataFrame(x)
    label = np.zeros(adata.n_obs) if series is None else adata.obs[series].astype(str).to_numpy()
    means = frame.groupby([label, adata.obs[time_key].to_numpy()]).mean()
    courses = [part.to_numpy() for _, part in means.groupby(level=0)]
    before, after = (np.concatenate([course[cut] for course in courses]) for cut in (slice(None, -1), slice(1, None)))
    n = x.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        lagged = np.nan_to_num(np.corrcoef(before.T, after.T)[:n, n:])
        plain = np.nan_to_num(np.corrcoef(x.T))
    return {PEARSON: np.abs(plain), LAGGED: np.abs(lagged)}


def ratio(truth: Any, score: Any) -> float:
    """Return AUPRC over the fraction of true pairs."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(truth.astype(bool), score) / truth.astype(bool).mean())


def draw(runs: pd.DataFrame, path: Path) -> None:
    """Draw the ratios."""
    bars(runs, path, {RATIO: "AUPRC / chance"}, COLORS, chance=1)


if __name__ == "__main__":
    main("realtime", __doc__, {"irma": irma, "sos": sos, "semrau": semrau, "hsmm": hsmm}, (), draw)
