"""Groups of alike cells with their mean state, their mean velocity, and how uncertain both are."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

NEIGHBOURS = 30  # cells that a row is the mean of, as velocities are made of moments over that many
COMPONENTS = 20  # principal components in which neighbours are found
MOST_ROWS = 400  # that a regression gets


@dataclass(frozen=True)
class VelocityRows:
    """States at which dx/dt was measured, and how certain both are; (rows,), (genes,) and (rows, genes).

    A gene whose velocity was not measured has the reliability 0, and velocities of 0 that mean nothing.
    """

    states: Floats  # (rows, genes)
    velocities: Floats  # (rows, genes), per unit of time
    state_variance: Floats  # (rows,), squared standard error of a state, mean over genes
    velocity_variance: Floats  # (rows,), of a velocity, mean over the genes that have one
    reliability: Floats  # (genes,), fraction of the variance of a gene's velocity over rows that is not noise

    @classmethod
    def of_cells(cls, states: Floats, velocities: Floats, known: NDArray[np.bool_]) -> Self:
        """Return rows of cells (cells, genes): means over the neighbours of some cells that are spread over all of them.

        The noise of a row is measured: by how much the cells behind it differ from each other.
        """
        groups = neighbourhoods(states, min(NEIGHBOURS, max(2, len(states) // 5)), MOST_ROWS)
        means = [np.stack([part[own].mean(axis=0) for own in groups]) for part in (states, velocities)]
        errors = [
            np.stack([part[own].var(axis=0, ddof=1) / len(own) for own in groups]) for part in (states, velocities)
        ]
        between = means[1].var(axis=0)
        noise = errors[1].mean(axis=0)
        reliability = np.where(known & (between > 0), np.clip(1 - noise / np.maximum(between, 1e-300), 0, 1), 0.0)
        of_velocity = errors[1][:, known].mean(axis=1) if known.any() else np.zeros(len(groups))
        return cls(means[0], np.where(known, means[1], 0.0), errors[0].mean(axis=1), of_velocity, reliability)

    def __len__(self) -> int:
        return len(self.states)

    def in_units(self, minimum: Floats, width: Floats) -> Self:
        """Return the rows with states (x - minimum) / width.

        Variances are means over genes; they are divided by the mean of the squared widths.
        """
        square = float(np.mean(np.asarray(width) ** 2))
        return replace(
            self,
            states=(self.states - minimum) / width,
            velocities=self.velocities / width,
            state_variance=self.state_variance / square,
            velocity_variance=self.velocity_variance / square,
        )

    def calibrated(self, scale: Floats, weight: Floats) -> Self:
        """Return the rows with every gene's velocity times `scale` (genes,), and its reliability times `weight`."""
        before = np.sqrt((self.velocities**2).mean())
        velocities = self.velocities * scale
        size = np.sqrt((velocities**2).mean()) / before if before else 1.0
        return replace(
            self,
            velocities=velocities,
            velocity_variance=size**2 * self.velocity_variance,
            reliability=self.reliability * weight,
        )

    def precision(self, rate: float) -> Floats:
        """Return 1 over the variance of the production x + v / rate that every row says, (rows,).

        A group of equal cells counts for no more than ten times the median.
        """
        variance = self.state_variance + self.velocity_variance / rate**2
        return np.asarray(1 / np.maximum(variance, 0.1 * np.median(variance) + 1e-12))

    def agreement(self, other: Self) -> Floats:
        """Return the cosine over rows of every gene's velocity with that of the nearest other row, (genes,); 0 without any."""
        distance = (other.states**2).sum(axis=1) - 2 * self.states @ other.states.T
        seen = other.velocities[distance.argmin(axis=1)]
        size = np.sqrt((self.velocities**2).sum(axis=0) * (seen**2).sum(axis=0))
        product = (self.velocities * seen).sum(axis=0)
        return np.asarray(np.divide(product, size, out=np.zeros(len(size)), where=size > 0))

    def less_reliable(self, factor: Floats) -> Self:
        """Return the rows with the reliability of every gene times a factor, (genes,)."""
        return replace(self, reliability=self.reliability * factor)

    def filled(self, otherwise: Floats) -> Self:
        r"""Return the rows with :math:`\rho v + (1 - \rho) v'` as velocities, v' (rows, genes) being known otherwise.

        :math:`\rho` is the reliability of a gene: what was not measured, or is noise, says nothing new then.
        """
        return replace(self, velocities=self.reliability * self.velocities + (1 - self.reliability) * otherwise)


def whole_from_halves(agreement: Floats) -> Floats:
    """Return how well two wholes would agree whose halves agree so well (Spearman and Brown 1910); 0 where halves disagree."""
    positive = np.clip(agreement, 0, 1)
    return np.asarray(2 * positive / (1 + positive))


def neighbourhoods(states: Floats, size: int, number: int) -> NDArray[np.int64]:
    """Return the `size` nearest cells of at most `number` cells, themselves among them, (number, size)."""
    centred = np.asarray(states, dtype=np.float64) - states.mean(axis=0)
    sides, axes = np.linalg.eigh(centred.T @ centred)
    place = centred @ axes[:, np.argsort(-sides)[:COMPONENTS]]
    seeds = np.unique(np.linspace(0, len(place) - 1, number).astype(np.int64)) if len(place) > number else slice(None)
    square = (place**2).sum(axis=1)
    distance = square[None] - 2 * place[seeds] @ place.T
    return np.asarray(np.argsort(distance, axis=1, kind="stable")[:, :size], dtype=np.int64)
