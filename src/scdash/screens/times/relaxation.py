"""How far a response has come at a time: one relaxation for all perturbations and genes, chosen by likelihood."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scdash.screens.statistics import Floats

RATES = tuple(float(v) for v in np.geomspace(20, 0.05, 21))  # per time between the first and the last
PARAMETERS = 2  # rate and onset, by which the log-likelihood must rise at least (Akaike 1974)
TIE = 1e-9  # relative difference of likelihoods that rounding makes
BEFORE = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0)  # onset before the first time, in the same unit


@dataclass(frozen=True)
class Relaxation:
    r"""The part of the response at the `last` sampled time that is there at another time.

    .. math:: g(t) = (1 - e^{-k (t - t_0)}) / (1 - e^{-k (t_{last} - t_0)})

    with the `rate` k and the `onset` t_0; with an infinite rate the response is there at once, and g is 1.
    """

    rate: float
    onset: float
    last: float

    def at(self, times: Floats) -> Floats:
        """Return g (times,); 0 before the onset."""
        if np.isinf(self.rate):
            return np.ones(len(times))
        since = np.maximum(np.asarray(times, dtype=float) - self.onset, 0.0)
        found: Floats = np.expm1(-self.rate * since) / np.expm1(-self.rate * (self.last - self.onset))
        return found


def fit_relaxation(times: Floats, products: Floats, counts: Floats, genes: Floats) -> Relaxation:
    """Return the relaxation under which the changes are most likely; it is immediate unless another is more likely.

    Changes of perturbation p, in SDs of the noise of a cell, are g(t) times a response that is normal over genes with variance
    tau_p, plus noise of variance 1 / cells. tau_p has its most likely value for every g.

    `times`: increasing times, (times,). `products`: sums over genes of the products of the changes at two times,
    (perturbations, times, times). `counts`: cells that a change is the mean of, (perturbations, times); 0 where there
    are none. `genes`: number of genes summed over, (perturbations,).
    """
    span = float(times[-1] - times[0])
    known = (counts > 0).sum(axis=1) > 1  # others do not say how a response goes on
    chosen = Relaxation(np.inf, float(times[0]), float(times[-1]))
    if not known.any() or span <= 0:
        return chosen
    best = float(log_likelihood(chosen.at(times), products[known], counts[known], genes[known]).sum()) + PARAMETERS
    for before in BEFORE:
        for rate in RATES:
            tried = Relaxation(rate / span, float(times[0]) - before * span, float(times[-1]))
            level = tried.at(times)
            found = float(log_likelihood(level, products[known], counts[known], genes[known]).sum())
            if found > best + TIE * abs(best):
                best, chosen = found, tried
    return chosen


def log_likelihood(level: Floats, products: Floats, counts: Floats, genes: Floats) -> Floats:
    """Return the log-likelihood (perturbations,) of changes beside that of no response, see `fit_relaxation`."""
    information, square = informed(level, products, counts)
    safe = np.maximum(information, 1e-300)
    variance = strength(information, square, genes)
    shrunk = 1 + variance * safe
    found: Floats = 0.5 * (square * variance / shrunk - genes * np.log(shrunk))
    return np.where(information > 0, found, 0.0)


def informed(level: Floats, products: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Return the information on the response of each perturbation, and the sum over genes of its squared score."""
    weighted = counts * level
    return (weighted * level).sum(axis=1), np.einsum("pi,pij,pj->p", weighted, products, weighted)


def strength(information: Floats, square: Floats, genes: Floats) -> Floats:
    """Return the most likely variance of the responses over genes (perturbations,), in units of the noise of a cell."""
    safe = np.maximum(information, 1e-300)
    found: Floats = np.maximum(square / np.maximum(genes, 1) - information, 0.0) / safe**2
    return np.where(information > 0, found, 0.0)


def products_of(changes: Floats, used: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the sums over genes of products of changes (perturbations, times, genes), and the number of genes.

    `used` (perturbations, genes) says which genes count; changes that are not known are 0 here, and have no cells.
    """
    masked = np.nan_to_num(changes) * used[:, None, :]
    return np.einsum("pig,pjg->pij", masked, masked), used.sum(axis=1).astype(float)
