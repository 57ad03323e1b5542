"""Networks and kinetic constants of the SERGIO simulation, and the noise-free fixed point."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from scdash._core.errors import suggest

COLUMNS = {
    "decay": "decay",
    "noise_amplitude": "noise",
    "basal_production": "basal",
    "intervention_strength": "strength",
    "half_response": "half",
}


@dataclass(frozen=True)
class Kinetics:
    """Constants of every gene; `activation` and `repression` are K >= 0 as (target, regulator)."""

    activation: sparse.csr_matrix
    repression: sparse.csr_matrix
    decay: NDArray[np.float64]  # (genes,), lambda, 1 / time
    noise: NDArray[np.float64]  # (genes,), q
    basal: NDArray[np.float64]  # (genes,), b, concentration / time
    strength: NDArray[np.float64]  # (genes,), gamma, concentration / time
    half: NDArray[np.float64]  # (genes,), h of a gene as regulator, concentration

    def production(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return P(x) for states as columns (genes, states)."""
        half = self.half[:, None].astype(x.dtype)
        made: NDArray[np.floating] = self.activation @ (x / (half + x)) + self.basal[:, None].astype(x.dtype)
        if self.repression.nnz:
            made += self.repression @ (half / (half + x))
        return made

    def table(self, names: Sequence[str]) -> pd.DataFrame:
        """Return the constants by gene, under the names that `sergio(kinetics=)` reads."""
        regulated = np.diff(self.activation.indptr) + np.diff(self.repression.indptr) > 0
        columns = {"master_regulator": ~regulated, **{k: getattr(self, v) for k, v in COLUMNS.items()}}
        return pd.DataFrame(columns, index=pd.Index(names))


def read_network(
    network: pd.DataFrame | None,
    genes: Sequence[str] | int,
    n_edges: int | None,
    repressors: float,
    rng: np.random.Generator,
) -> tuple[list[str], sparse.csr_matrix]:
    """Return gene names and signed weights K (target, regulator), drawn where they are not given."""
    if network is None:
        names = [f"G{i:03d}" for i in range(genes)] if isinstance(genes, int) else [str(g) for g in genes]
        n = len(names)
        target, source = _random_dag(n, min(5 * n, n * (n - 1) // 4) if n_edges is None else n_edges, rng)
        weight = None
    else:
        if not {"source", "target"} <= set(network.columns):
            raise ValueError(
                f"network: columns 'source' and 'target' are needed (source regulates target), found "
                f"{list(network.columns)}."
            )
        of_edges = pd.unique(pd.concat([network["source"], network["target"]]).astype(str))
        names = sorted(of_edges) if isinstance(genes, int) else [str(g) for g in genes]
        _check_unique(names)
        index = pd.Index(names)
        source, target = (index.get_indexer(pd.Index(network[c].astype(str))) for c in ("source", "target"))
        if (source < 0).any() or (target < 0).any():
            missing = next(g for g in of_edges if g not in index)
            raise ValueError(f"network: {missing!r} is not among `genes`.{suggest(missing, names)}")
        weight = network["weight"].to_numpy(float) if "weight" in network else None
    _check_unique(names)
    if weight is None:
        weight = rng.uniform(0, 5, len(source)) * np.where(rng.random(len(source)) < repressors, -1, 1)
    return names, sparse.csr_matrix((weight, (target, source)), shape=(len(names), len(names)))


def _check_unique(names: list[str]) -> None:
    if len(set(names)) < len(names):
        raise ValueError("genes: names must be unique.")


def _random_dag(n: int, n_edges: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    most = n * (n - 1) // 2
    if not 0 < n_edges <= most:
        raise ValueError(f"n_edges: an acyclic network of {n} genes has 1 to {most} edges, found {n_edges}.")
    later, earlier = np.tril_indices(n, -1)
    chosen = rng.choice(most, n_edges, replace=False)
    order = rng.permutation(n)
    return order[later[chosen]], order[earlier[chosen]]


def positive_normal(rng: np.random.Generator, mean: float, sd: float, size: int) -> NDArray[np.float64]:
    """Draw N(mean, sd)+ by redrawing what is not positive (clipping would put mass at zero)."""
    drawn = rng.normal(mean, sd, size)
    while (bad := drawn <= 0).any():
        drawn[bad] = rng.normal(mean, sd, int(bad.sum()))
    return drawn


def draw_kinetics(
    weights: sparse.csr_matrix,
    names: Sequence[str],
    half_response: str,
    given: pd.DataFrame | None,
    rng: np.random.Generator,
) -> Kinetics:
    """Return the constants: the paper's distributions (Eq. 12; second arguments of N are SDs), or those `given`."""
    up, down = weights.maximum(0).tocsr(), (-weights).maximum(0).tocsr()
    up.eliminate_zeros()
    down.eliminate_zeros()
    n = len(names)
    if given is not None:
        missing = [c for c in COLUMNS if c not in given.columns] or [g for g in names if g not in given.index]
        if missing:
            raise ValueError(f"kinetics: columns {list(COLUMNS)} for every gene are needed; missing {missing[:5]}.")
        table = given.loc[list(names)]
        return Kinetics(up, down, **{v: table[k].to_numpy(float) for k, v in COLUMNS.items()})
    regulated = np.diff(up.indptr) + np.diff(down.indptr) > 0
    decay = positive_normal(rng, 0.8, 0.2, n)
    noise = rng.uniform(0.3, 1, n)
    strength = positive_normal(rng, 10, 1, n)
    basal = np.where(regulated, 0.0, positive_normal(rng, 10, 0.01, n))
    if half_response == "mean":
        half = np.full(n, np.mean(basal / noise))
    else:
        # At x = h every Hill term is 1/2, so the control's fixed point is known in closed form.
        half = (np.asarray((up + down).sum(axis=1)).ravel() / 2 + basal) / decay
    return Kinetics(up, down, decay, noise, basal, strength, half)


def steady_state(kinetics: Kinetics, added: NDArray[np.floating], factor: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return x = factor * P(x) / decay + added (genes, perturbations), Eq. 15 and 16.

    Iterated from no regulation: exact after as many rounds as an acyclic network is deep; damped after 100 rounds,
    for networks with cycles.
    """
    x = np.asarray(added, float) + factor * (kinetics.basal / kinetics.decay)[:, None]
    for i in range(2000):
        new = factor * kinetics.production(x) / kinetics.decay[:, None] + added
        if np.allclose(new, x, rtol=1e-9, atol=1e-12):
            return new
        x = new if i < 100 else 0.5 * (x + new)
    raise ValueError("network: the noise-free model has no fixed point that the iteration finds (it oscillates).")
