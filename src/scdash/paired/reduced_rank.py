"""Sparse reduced-rank regression (Kobak et al. 2021; Chen & Huang 2012), with the relaxed second fit."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash.paired.design import Design, Floats
from scdash.paired.group_elastic import Penalty, active_set_solution, nonzero_rows
from scdash.paired.standardize import Scale

TOLERANCE = 1e-6  # relative change of the loss at which the alternation stops
MAX_ROUNDS = 100


@dataclass(frozen=True)
class ReducedRank:
    """Y ~ X W V' for standardised X and Y.

    `loss`: ||Y - X W V'||^2 / ||Y||^2 after each round of the unrelaxed fit. `selected_norm`: ||W_i|| of the unrelaxed
    fit, (genes,): what ranks the genes. `settled`: whether W and V stopped changing, and every W met its optimality
    conditions, within the rounds allowed.
    """

    encoder: Floats  # W, (genes, rank); rows of genes not selected are zero
    decoder: Floats  # V, (features, rank), orthonormal columns
    penalty: Penalty  # lambda and alpha
    loss: Floats = field(default_factory=lambda: np.zeros(0))
    selected_norm: Floats = field(default_factory=lambda: np.zeros(0))
    settled: bool = True

    @property
    def selected(self) -> NDArray[np.intp]:
        """Genes with a non-zero row of W."""
        return nonzero_rows(self.encoder)

    def predict(self, x: NDArray[Any]) -> Floats:
        """Return X W V' for standardised x (cells, genes)."""
        return np.asarray(x @ self.encoder @ self.decoder.T)


class Regression:
    """One data set (X, Y) for any rank, lambda and alpha: products with X are shared between the fits.

    `matrix`: cells by genes, dense or CSR. `y`: standardised features of the rows used, (cells, features). `scale`:
    standardisation of the genes. `rows`: rows of `matrix` used; None for all.
    """

    def __init__(self, matrix: Any, y: Floats, scale: Scale, rows: NDArray[np.intp] | None = None) -> None:
        self.design = Design(matrix, scale, rows)
        if len(y) != self.design.n:
            raise ValueError(f"X has {self.design.n} rows, Y {len(y)}.")
        self.cross = self.design.cross(y)
        self.total = float(np.sum(y**2)) / len(y)

    def fit(
        self, rank: int, penalty: Penalty, *, relaxed: bool = True, start: ReducedRank | None = None
    ) -> ReducedRank:
        """Alternate between W (given V) and V (given W); then refit the selected rows by ridge if `relaxed`."""
        genes, features = self.cross.shape
        if not 1 <= rank <= min(genes, features):
            raise ValueError(
                f"rank must lie between 1 and min(genes, features) = {min(self.cross.shape)}, found {rank}."
            )
        if penalty.alpha == 0:
            return self.ridge(np.arange(genes), rank, penalty)
        found = self._alternate(rank, penalty, start)
        return self.relax(found) if relaxed else found

    def relax(self, found: ReducedRank) -> ReducedRank:
        """Return the fit with its selected rows refitted by a ridge regression of the same lambda."""
        if not len(found.selected):
            return found
        refitted = self.ridge(found.selected, found.encoder.shape[1], replace(found.penalty, alpha=0.0))
        return replace(found, encoder=refitted.encoder, decoder=refitted.decoder)

    def strongest(self, rank: int, alpha: float) -> float:
        """Return the smallest lambda at which no gene is selected by the first step of the alternation."""
        decoder = np.linalg.svd(self.cross, full_matrices=False)[2][:rank].T
        return float(np.linalg.norm(self.cross @ decoder, axis=1).max()) / alpha

    def _alternate(self, rank: int, penalty: Penalty, start: ReducedRank | None) -> ReducedRank:
        decoder = np.linalg.svd(self.cross, full_matrices=False)[2][:rank].T
        before: Floats | None = None if start is None else start.encoder @ (start.decoder.T @ decoder)
        encoder = np.zeros((len(self.cross), rank))
        losses: list[float] = []
        settled = False
        for _ in range(MAX_ROUNDS):
            encoder, met = active_set_solution(self.design, self.cross @ decoder, penalty, before)
            if not np.any(encoder):
                zero = np.zeros((self.cross.shape[1], rank))
                return ReducedRank(encoder, zero, penalty, np.ones(1), np.zeros(len(encoder)))
            left, _, right = np.linalg.svd(self.cross.T @ encoder, full_matrices=False)
            encoder, decoder = fix_signs(encoder, left @ right)
            before = encoder
            losses.append(self.loss(encoder, decoder))
            if len(losses) > 1 and abs(losses[-1] - losses[-2]) < TOLERANCE:
                settled = met
                break
        return ReducedRank(encoder, decoder, penalty, np.array(losses), np.linalg.norm(encoder, axis=1), settled)

    def ridge(self, genes: NDArray[np.intp], rank: int, penalty: Penalty) -> ReducedRank:
        """Reduced-rank ridge regression on some genes: B = (X'X + n lambda)^-1 X'Y, V = top right vectors of X B."""
        gram = self.design.gram(genes)[genes]
        coefficients = np.linalg.solve(gram + penalty.lam * np.eye(len(genes)), self.cross[genes])
        _, vectors = np.linalg.eigh(coefficients.T @ gram @ coefficients)
        decoder = vectors[:, ::-1][:, :rank]
        encoder = np.zeros((self.cross.shape[0], rank))
        encoder[genes] = coefficients @ decoder
        encoder, decoder = fix_signs(encoder, decoder)
        loss = np.array([self.loss(encoder, decoder)])
        return ReducedRank(encoder, decoder, penalty, loss, np.linalg.norm(encoder, axis=1))

    def loss(self, encoder: Floats, decoder: Floats) -> float:
        """Return ||Y - X W V'||^2 / ||Y||^2 from the Gram matrix, for orthonormal V."""
        rows = nonzero_rows(encoder)
        fitted = float(np.sum(encoder[rows] * (self.design.gram(rows)[rows] @ encoder[rows])))
        shared = float(np.sum((self.cross @ decoder) * encoder))
        return (self.total - 2 * shared + fitted) / self.total

    def fit_to_size(self, rank: int, n_features: int, *, alpha: float = 1.0, relaxed: bool = True) -> ReducedRank:
        """Choose lambda so that `n_features` genes are selected, the nearest number if none gives exactly that."""
        genes = self.cross.shape[0]
        if not 1 <= n_features <= genes:
            raise ValueError(f"n_features must lie between 1 and the number of genes ({genes}), found {n_features}.")
        high = self.strongest(rank, alpha)
        best, start = self.fit(rank, Penalty(high, alpha), relaxed=False), None
        low = high
        for _ in range(MAX_ROUNDS):  # down in small steps: far too small a lambda would let hundreds of genes in
            bracketed = low < high
            trial = float(np.sqrt(low * high)) if bracketed else high * 0.85
            found = self.fit(rank, Penalty(trial, alpha), relaxed=False, start=start)
            miss = len(found.selected) - n_features
            if abs(miss) < abs(len(best.selected) - n_features):
                best = found
            if miss == 0 or (bracketed and high / low < 1 + 1e-3):
                break
            if miss > 0:
                low = trial
            else:
                high, low = trial, low if bracketed else trial
            start = found if len(found.selected) else None
        return self.fit(rank, best.penalty, relaxed=relaxed)


def fix_signs(encoder: Floats, decoder: Floats) -> tuple[Floats, Floats]:
    """Make the entry of largest absolute value of each column of V positive, W's column with it."""
    largest = np.abs(decoder).argmax(axis=0)
    signs = np.where(decoder[largest, np.arange(decoder.shape[1])] < 0, -1.0, 1.0)
    return encoder * signs, decoder * signs
