"""Motion capture, subject 35 walking: `python -m benchmarks.mocap [--rows node sonode pathreg l0 cnode] [--seeds 1]`.

Needs the reference data (SCDASH_REFERENCE_DATA, default ../shared/data). Writes results/mocap/runs.csv (every run), summary.csv
and mocap.png.

23 sequences of 300 frames x 50 channels (joint angles), 16 for training, 3 for validation, 4 for test: a first- and a
second-order neural ODE, and the second-order one with PathReg, L0 and C-NODE, all through the public call. A model sees the
first three frames of a test sequence and predicts the other 297: `tl.predict` starts from the third. The error is the mean
square over frames and channels in the units of the data. The PathReg paper shows other data of the same source (93 joint
positions), without figures in its text; those printed beside ours are of papers on latent-variable models.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._rows import PUBLISHED, Row, bars, main, reference

SEEN = 3  # frames of a test sequence that a model is given
HIDDEN = (64, 64)
MSE, ZEROS, CPU = "test MSE after 3 frames", "share of weights that are 0", "CPU seconds"
FEATURES = "share of pairs of channels without an effect"
NAME = "mocap 35"
MEMORY = "quoted in the data's README from memory"
PAPERS = {"Neural ODE": 22.5, "ODE2VAE-KL": 8.1, "latent ODE": 6.0, "latent SDE": 4.0}
METHODS = {
    "node": "NODE",
    "sonode": "SONODE",
    "pathreg": "SONODE, PathReg",
    "l0": "SONODE, L0",
    "cnode": "SONODE, C-NODE",
}
COLORS = {
    "NODE": "#CCCCCC",
    "SONODE": "#E69F00",
    "SONODE, PathReg": "#0072B2",
    "SONODE, L0": "#56B4E9",
    "SONODE, C-NODE": "#009E73",
    "mean frame": "#999999",
    "third frame": "#666666",
}


def load() -> Any:
    """Return the sequences with the names of the splits that the package uses."""
    import anndata

    adata = anndata.read_h5ad(reference() / "mocap35" / "mocap35.h5ad")
    adata.obs["split"] = adata.obs["split"].astype(str).replace({"val": "validation"})
    return adata


def fit(method: str, seed: int) -> Iterator[Row]:
    """Yield error, zeros and time of one method."""
    import scdash
    from scdash import models, sparsity

    choices: dict[str, Callable[[], Any]] = {
        "node": lambda: "none",
        "sonode": lambda: "none",
        "pathreg": sparsity.PathReg,
        "l0": sparsity.L0,
        "cnode": sparsity.CNode,
    }
    adata, predictor = load(), METHODS[method]
    began = time.process_time()
    scdash.tl.fit_dynamics(
        adata,
        model=models.MLP(HIDDEN) if method == "node" else models.SecondOrder(HIDDEN),
        sparsity=choices[method](),
        time_key="time",
        trajectory_key="sequence",
        split_key="split",
        observations="states",
        allow_scaled=True,  # channels are centred
        rng=seed,
        progress=False,
    )
    yield Row(NAME, CPU, predictor, seed, time.process_time() - began)
    yield Row(NAME, MSE, predictor, seed, error_of(adata, partial(predicted, adata)))
    masks = adata.uns["dynamics"]["masks"]
    metrics = adata.uns["dynamics"]["metrics"]
    if masks:
        kept = [np.asarray(mask) for mask in masks.values() if hasattr(mask, "shape")]
        yield Row(
            NAME, ZEROS, predictor, seed, 1 - sum(float((mask != 0).sum()) for mask in kept) / sum(m.size for m in kept)
        )
    yield Row(NAME, FEATURES, predictor, seed, 1 - float(metrics["network_density"]))


def predicted(adata: Any, sequence: str) -> Any:
    """Return the frames after the third of a sequence, predicted from it; infinity where the prediction grows without bound."""
    import scdash
    from scdash._core.errors import NotConvergedError

    own = adata.obs.index[adata.obs["sequence"].astype(str) == sequence]
    times = adata.obs.loc[own[SEEN:], "time"].to_numpy() - float(adata.obs.loc[own[SEEN - 1], "time"])
    try:
        return np.asarray(scdash.tl.predict(adata, [own[SEEN - 1]], times=times).X)[-len(times) :]
    except NotConvergedError:
        return np.inf


def error_of(adata: Any, predict: Callable[[str], Any]) -> float:
    """Return the mean squared error over test sequences."""
    errors = []
    test = adata.obs["split"] == "test"
    for sequence in adata.obs.loc[test, "sequence"].astype(str).unique():
        states = np.asarray(adata[(adata.obs["sequence"].astype(str) == sequence).to_numpy()].X, dtype=np.float64)
        errors.append(((np.asarray(predict(sequence)) - states[SEEN:]) ** 2).mean())
    return float(np.mean(errors))


def trivial() -> Iterator[Row]:
    """Yield the mean frame of the training sequences, the third frame for ever, and what papers say."""
    adata = load()
    label = adata.obs["sequence"].astype(str)
    mean = np.asarray(adata[(adata.obs["split"] == "train").to_numpy()].X, dtype=np.float64).mean(axis=0)
    yield Row(NAME, MSE, "mean frame", PUBLISHED, error_of(adata, lambda sequence: mean))
    third = {one: np.asarray(adata[(label == one).to_numpy()].X, dtype=np.float64)[SEEN - 1] for one in label.unique()}
    yield Row(NAME, MSE, "third frame", PUBLISHED, error_of(adata, lambda sequence: third[sequence]))
    for predictor, value in PAPERS.items():
        yield Row(NAME, MSE, f"{predictor} ({MEMORY})", PUBLISHED, value)


def draw(runs: pd.DataFrame, path: Path) -> None:
    """Draw errors and zeros."""
    bars(
        runs, path, {MSE: "test MSE after 3 frames", FEATURES: "share of pairs of channels\nwithout an effect"}, COLORS
    )


if __name__ == "__main__":
    rows = {method: partial(fit, method) for method in METHODS}
    main("mocap", __doc__, rows, trivial(), draw, seeds=1)
