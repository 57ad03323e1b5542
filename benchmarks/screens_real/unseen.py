"""Screens that nobody tuned anything on, simulated with own seeds: what the acceptance asks of screens that we do not have.

Four kinds: one profile of every knockout and knockdown (as DREAM4, size 10 to 200, noise low to high); a deletion collection of
log fold changes in which most genes were never deleted; counts with strong dropout; incomplete knockdowns by guides of
which some hit a second gene. The network of the first two is scale-free with saturating kinetics, that of the others SERGIO's.
"""

from dataclasses import dataclass

import anndata
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

import scdash

Floats = NDArray[np.float64]
WILD_TYPES = 11  # DREAM4: the wild type and the start of its ten time series
STEPS = 400  # of the fixed-point iteration, each by half of the way


@dataclass(frozen=True)
class Kinetics:
    """Rates of a network with saturating regulation; all (genes, genes) arrays are (regulator, target)."""

    strength: Floats  # share of the full rate that a regulator adds (negative: takes away); 0 without an edge
    half: Floats  # level of half effect
    hill: Floats  # Hill coefficient
    basal: Floats  # (genes,) share of the full rate without regulators

    @classmethod
    def draw(cls, genes: int, rng: np.random.Generator, *, edges_per_gene: float = 2.0) -> "Kinetics":
        """Draw a scale-free network: regulators are chosen in proportion to a Pareto weight, so that few genes are hubs.

        A gene has one regulator or more (Poisson); 15 % of the edges repress, feedback is allowed, as in DREAM4.
        """
        hub = rng.pareto(1.5, genes) + 0.05
        strength = np.zeros((genes, genes))
        for target in range(genes):
            chance = np.delete(hub, target)
            number = min(1 + rng.poisson(edges_per_gene - 1), genes - 1)
            chosen = rng.choice(np.delete(np.arange(genes), target), number, replace=False, p=chance / chance.sum())
            strength[chosen, target] = rng.uniform(0.4, 1.0, number) / np.sqrt(number)
        strength *= np.where(rng.random(strength.shape) < 0.15, -1, 1)
        basal = np.clip(rng.uniform(0, 0.3, genes) - np.minimum(strength, 0).sum(0), 0.05, 1)
        return cls(strength, rng.uniform(0.1, 0.9, strength.shape), rng.uniform(1, 4, strength.shape), basal)

    def steady_states(self, production: Floats) -> Floats:
        """Return the levels (rows, genes) where production times the regulated rate equals the decay of 1.

        `production` (rows, genes) is 1 in the wild type, 0 at a deleted gene and 0.5 at a knocked-down one.
        """
        level = np.full(production.shape, 0.5) * production
        for _ in range(STEPS):
            power = level[:, :, None] ** self.hill
            effect = power / (power + self.half**self.hill)
            rate = np.clip(self.basal + np.einsum("rst,st->rt", effect, self.strength), 0, 1)
            level = 0.5 * level + 0.5 * production * rate
        return level


def named(x: Floats, obs: pd.DataFrame, edges: NDArray[np.bool_]) -> anndata.AnnData:
    """Return rows of states as AnnData with the true edges."""
    names = [f"G{i + 1}" for i in range(x.shape[1])]
    obs.index = pd.Index([f"r{i}" for i in range(len(obs))])
    adata = anndata.AnnData(x.astype(np.float32), obs=obs, var=pd.DataFrame(index=names))
    adata.varp["truth"] = sparse.csr_matrix(edges.astype(np.float32))
    return adata


def profiles(genes: int, noise: float, seed: int) -> anndata.AnnData:
    """Return one profile of every knockout and of every knockdown, and wild types, with noise of SD `noise` (levels up to 1)."""
    rng = np.random.default_rng(seed)
    kinetics = Kinetics.draw(genes, rng)
    production = np.vstack([np.ones((WILD_TYPES, genes)), 1 - np.eye(genes), 1 - 0.5 * np.eye(genes)])
    level = np.vstack([kinetics.steady_states(part) for part in np.array_split(production, max(1, genes // 10))])
    x = np.maximum(level + rng.normal(0, noise, level.shape), 0)
    labels = [f"G{i + 1}" for i in range(genes)]
    obs = pd.DataFrame({"perturbation": ["control"] * WILD_TYPES + labels * 2})
    obs["kind"] = ["knockout"] * (WILD_TYPES + genes) + ["knockdown"] * genes
    return named(x, obs, kinetics.strength != 0)


def deletions(seed: int, *, genes: int = 300, deleted: int = 60, replicates: int = 2) -> anndata.AnnData:
    """Return log2 fold changes of deletion strains against the wild type; most genes were never deleted.

    The SD of the noise differs from gene to gene (0.05 to 0.4), and the deleted genes are drawn in favour of regulators.
    """
    rng = np.random.default_rng(seed)
    kinetics = Kinetics.draw(genes, rng)
    targets = (kinetics.strength != 0).sum(1) + 1.0
    chosen = rng.choice(genes, deleted, replace=False, p=targets / targets.sum())
    production = np.vstack([np.ones((1, genes)), 1 - np.eye(genes)[chosen]])
    level = np.vstack([kinetics.steady_states(part) for part in np.array_split(production, 10)]) + 0.02
    change = np.repeat(np.log2(level[1:] / level[:1]), replicates, axis=0)
    change += rng.normal(0, 1, change.shape) * rng.uniform(0.05, 0.4, genes)
    obs = pd.DataFrame({"perturbation": np.repeat([f"G{i + 1}" for i in chosen], replicates)})
    return named(change, obs, kinetics.strength != 0)


def normalised_counts(rate: Floats, truth: object, obs: pd.DataFrame, names: pd.Index, seed: int) -> anndata.AnnData:
    """Return log-normalised Poisson counts of mean `rate` (cells, genes)."""
    import scanpy as sc

    counts = sparse.csr_matrix(np.random.default_rng(seed).poisson(rate).astype(np.float32))
    adata = anndata.AnnData(counts, obs=obs.copy(), var=pd.DataFrame(index=names))
    adata.varp["truth"] = truth
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    return adata


def dropout(seed: int, *, umi: float = 5.0, lost: float = 0.8) -> anndata.AnnData:
    """Return SERGIO counts of which low values are lost: a logistic dropout in the logarithm (Dibaeinia & Sinha 2020).

    `lost` is the quantile of the log levels at which half of the values are lost.
    """
    made = scdash.simulate.sergio(
        n_targets=1, kind="knockout", cells_per_perturbation=100, half_response="mid", rng=seed
    )
    x = np.asarray(made.X, dtype=float)
    rng = np.random.default_rng(seed)
    level = np.log1p(x)
    kept = rng.random(x.shape) < 1 / (1 + np.exp(-6.5 * (level - np.quantile(level, lost))))
    return normalised_counts(x * kept * umi / x.mean(), made.varp["truth"], made.obs, made.var_names, seed)


def knockdowns(seed: int, *, umi: float = 5.0, guides: int = 3, off_targets: float = 0.3) -> anndata.AnnData:
    """Return SERGIO counts of knockdowns that leave 40 %, by three guides a gene of which some hit a second gene too.

    `obs["perturbation"]` says the gene that a guide was made for, `obs["guide"]` the guide.
    """
    rng = np.random.default_rng(seed)
    names = [f"G{i:03d}" for i in range(100)]
    labels: list[str] = []
    made_for: dict[str, list[str]] = {}
    for gene in names:
        for guide in range(guides):
            other = rng.choice([name for name in names if name != gene])
            label = f"{gene}+{other}" if rng.random() < off_targets else gene
            labels.append(label)
            made_for.setdefault(label, []).append(f"{gene}_{guide}")
    made = scdash.simulate.sergio(
        perturbations=sorted(set(labels)), kind="knockdown", knockdown=0.6, cells_per_perturbation=99,
        half_response="mid", rng=seed,
    )  # fmt: skip
    obs = made.obs.copy()
    drawn = obs["perturbation"].astype(str)
    obs["guide"] = ["control" if label == "control" else str(rng.choice(made_for[label])) for label in drawn]
    obs["perturbation"] = [label.split("+")[0] for label in drawn]
    x = np.asarray(made.X, dtype=float)
    return normalised_counts(x * umi / x.mean(), made.varp["truth"], obs, made.var_names, seed)
