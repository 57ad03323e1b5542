"""Which form of a score finds what a knock-out really does, in simulated cells: `python -m benchmarks.phenotypes.simulated`.

40 factors regulate 160 genes through a logistic production; other basal rates of some factors make the first state, and the
relaxation from there is the lineage, sampled with noise in four batches. True effects are those of the same system with a
factor at 0. Two designs: few factors change (seeds 0 to 5), and many change with stronger effects (seeds 10 to 17). Prints,
per design, the AUC of each score for the 30 % of factors with the largest true distance and the largest true loss along the
path. About 10 CPU seconds a system.
"""

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from benchmarks.phenotypes.scores import FORMS, OURS, other_forms
from benchmarks.phenotypes.statistics import auc

GENES, FACTORS, BATCHES, CELLS, LENGTH, BINS = 160, 40, 4, 300, 4.0, 40
DESIGNS = {"few factors change": ((8, 4.0, 2.5), range(6)), "many factors change": ((20, 6.0, 5.0), range(10, 18))}
SCALE = 0.6  # molecules counted of each one there


def system(rng: np.random.Generator, changing: int, change: float, strength: float) -> tuple[Any, NDArray[np.float64]]:
    """Return a function (state, shift of basal rates) -> dx/dt, and the shift that makes the first state."""
    effects = np.zeros((GENES, FACTORS))
    for gene in range(GENES):
        chosen = rng.choice(FACTORS, rng.integers(1, 6), replace=False)
        effects[gene, chosen] = rng.normal(0, strength, len(chosen))
    effects *= (rng.random(FACTORS) < 0.75) * np.exp(rng.normal(0, 0.6, FACTORS))  # a quarter of the factors do nothing
    most, rate = np.exp(rng.normal(1.2, 1.3, GENES)), np.exp(rng.normal(0, 0.5, GENES))
    basal = rng.normal(-0.3, 1, GENES)
    half = most[:FACTORS] * np.exp(rng.normal(-1, 0.5, FACTORS))
    shift = np.zeros(GENES)
    shift[rng.choice(FACTORS, changing, replace=False)] = rng.normal(0, change, changing)

    def velocity(x: NDArray[np.float64], shift: Any) -> NDArray[np.float64]:
        occupied = x[:FACTORS] / (x[:FACTORS] + half)
        return np.asarray(rate * (most / (1 + np.exp(-(basal + shift + effects @ (occupied - 0.5)))) - x))

    return velocity, shift


def run(velocity: Any, x: NDArray[np.float64], shift: Any, length: float, lost: int | None = None) -> list[Any]:
    """Return the states of a run by midpoint steps, with a factor held at 0."""
    free = np.arange(GENES) != (-1 if lost is None else lost)
    path = [x * free]
    for _ in range(int(length / 0.02)):
        middle = path[-1] + 0.01 * velocity(path[-1], shift)
        path.append((path[-1] + 0.02 * velocity(middle, shift)) * free)
    return path


def cells_of(path: list[Any], rng: np.random.Generator) -> AnnData:
    """Return log-normalised cells along a path, with a depth for every cell and factors for every batch."""
    places = np.asarray(path)[:: max(1, len(path) // BINS)]
    x, obs = [], []
    for batch in range(BATCHES):
        time = np.sort(rng.random(CELLS))
        at = time * (len(places) - 1)
        low = np.minimum(at.astype(int), len(places) - 2)
        states = places[low] + (at - low)[:, None] * (places[low + 1] - places[low])
        mean = states * np.exp(rng.normal(0, 0.1, GENES)) * np.exp(rng.normal(0, 0.3, CELLS))[:, None] * SCALE
        counts = rng.poisson(rng.gamma(4, mean / 4 + 1e-9))
        size = np.maximum(counts.sum(1, keepdims=True), 1)
        x.append(np.log1p(counts / size * np.median(size)))
        obs.append(
            pd.DataFrame({"pseudotime": time, "batch": f"b{batch}", "split": "validation" if batch == 3 else "train"})
        )
    adata = AnnData(sp.csr_matrix(np.concatenate(x).astype(np.float32)), obs=pd.concat(obs, ignore_index=True))
    adata.obs_names = [str(i) for i in range(adata.n_obs)]
    adata.var_names = [f"g{i:03d}" for i in range(GENES)]
    adata.var["is_tf"] = np.arange(GENES) < FACTORS
    return adata


def areas(seed: int, settings: tuple[int, float, float]) -> pd.DataFrame:
    """Return the areas of every score in one system."""
    import scdash

    rng = np.random.default_rng(seed)
    velocity, shift = system(rng, *settings)
    first = run(velocity, np.ones(GENES), shift, 30)[-1]
    path = run(velocity, first, 0.0, LENGTH)
    adata = cells_of(path, rng)
    keys = {"time_key": "pseudotime", "batch_key": "batch", "split_key": "split", "regulators": "is_tf"}
    scdash.settings.verbosity = 0
    scdash.tl.fit_dynamics(
        adata, rng=seed, write_velocity=False, progress=False, validation=scdash.Validation(null_models=False), **keys
    )
    factors = list(adata.var_names[:FACTORS])
    scdash.tl.perturbation_scores(adata, genes=factors)
    table = scdash.get.perturbation_scores(adata).set_index("gene").loc[factors]
    scores = pd.DataFrame({OURS: table["score"].fillna(0.0), FORMS[0]: -table["along_path"].fillna(0.0)})
    scores = scores.assign(**other_forms(adata.uns["dynamics"], factors))
    scores["mean expression"], scores["signed change"] = table["expression"], table["change"]
    ends = np.array([run(velocity, first, 0.0, LENGTH, lost=k)[-1] for k in range(FACTORS)])
    moved, way = (
        np.log1p(SCALE * ends) - np.log1p(SCALE * path[-1]),
        np.log1p(SCALE * path[-1]) - np.log1p(SCALE * first),
    )
    moved[np.arange(FACTORS), np.arange(FACTORS)] = 0
    true = {"distance": np.linalg.norm(moved, axis=1), "loss along the path": -moved @ way}
    rows = [
        {
            "score": name,
            **{key: auc(scores[name].to_numpy(), value >= np.quantile(value, 0.7)) for key, value in true.items()},
        }
        for name in scores
    ]
    return pd.DataFrame(rows).assign(seed=seed)


if __name__ == "__main__":
    for design, (settings, seeds) in DESIGNS.items():
        found = pd.concat([areas(seed, settings) for seed in seeds])
        print(
            f"{design}\n{found.drop(columns='seed').groupby('score', sort=False).mean().round(3).to_string()}",
            flush=True,
        )
