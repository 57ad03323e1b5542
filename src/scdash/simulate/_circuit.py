"""Gene circuits: Hill functions of regulators combined by AND, OR and NOT, integrated for many cells at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._core.process_state import guarded


@guarded
def hill(x: NDArray[Any], ec50: Any, n: Any) -> NDArray[Any]:
    r"""Return the Hill activation that is 0 at 0, 1/2 at `ec50` and 1 at 1.

    :math:`f(x) = B x^n / (B - 1 + x^n)`, :math:`B = (E^n - 1) / (2 E^n - 1)` (Bhuva et al. 2019), written without its
    removable singularity at :math:`E^n = 1/2`: :math:`(1 - E^n) x^n / (E^n + (1 - 2 E^n) x^n)`.

    Parameters
    ----------
    x
        Concentration; below 0 counts as 0.
    ec50
        E, the concentration of half activation.
    n
        Exponent, the steepness.

    Returns
    -------
    ndarray
        The activation, of the broadcast shape.

    See Also
    --------
    scdash.simulate.grn_dynamics : Simulate trajectories of a random gene-regulatory system whose network is known.

    Examples
    --------
    >>> import numpy as np
    >>> scdash.simulate.hill(np.array([0.5]), 0.5, 2.0)  # half of the largest activation at ec50
    array([0.5])
    """
    powered, half = np.maximum(x, 0.0) ** n, np.asarray(ec50) ** np.asarray(n)
    return np.asarray((1 - half) * powered / (half + (1 - 2 * half) * powered))


@dataclass(frozen=True)
class Level:
    """One level of logic: consecutive inputs from each start on are combined by AND (product) or OR (1 - prod(1 - x))."""

    starts: NDArray[np.int64]  # (groups,), ascending from 0
    any_of: NDArray[np.bool_]  # (groups,), OR instead of AND

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Combine (inputs, batch) to (groups, batch)."""
        size = np.diff(np.append(self.starts, len(values)))
        values = _one_minus(values, np.repeat(self.any_of, size))
        if len(self.starts) < len(values):
            values = np.multiply.reduceat(values, self.starts, axis=0)
        return _one_minus(values, self.any_of)


def _one_minus(values: NDArray[Any], rows: NDArray[np.bool_]) -> NDArray[Any]:
    """Return values with 1 - x in some rows, as x' = offset + slope x: cheaper than np.where."""
    slope = np.where(rows, -1, 1).astype(values.dtype)[:, None]
    return np.asarray(values * slope + (rows.astype(values.dtype))[:, None])


@dataclass(frozen=True)
class Circuit:
    r"""A gene system :math:`dx_i/dt = P_i(x) - x_i`; genes without regulators are held constant.

    P combines :math:`f(x_j)` for activators and :math:`1 - f(x_j)` for repressors through `levels` of logic, each
    regulator occurring once per target. States lie in [0, 1] and stay there.

    See Also
    --------
    scdash.simulate.grn_dynamics : Simulate trajectories of a random gene-regulatory system whose network is known.
    scdash.simulate.sergio : Simulate a perturbation screen with SERGIO's model of transcription.
    """

    n_genes: int
    regulator: NDArray[np.int64]  # (edges,), ordered by target and by group of the first level
    target: NDArray[np.int64]  # (edges,)
    sign: NDArray[np.int64]  # (edges,), +1 activates, -1 represses
    ec50: NDArray[np.float64]  # (edges,)
    exponent: NDArray[np.float64]  # (edges,)
    levels: Sequence[Level]  # the last one has a group per regulated gene
    regulated: NDArray[np.int64]  # (regulated genes,), in the order of the last level's groups

    @property
    def inputs(self) -> NDArray[np.bool_]:
        """Genes held constant, (genes,)."""
        held = np.ones(self.n_genes, dtype=bool)
        held[self.regulated] = False
        return held

    def production(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return P of the regulated genes, (batch, regulated), for states (batch, genes)."""
        return self._production(np.ascontiguousarray(x.T)).T

    def derivative(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return dx/dt, (batch, genes)."""
        return self._derivative(np.ascontiguousarray(x.T)).T

    def simulate(self, start: NDArray[Any], times: Sequence[float], *, step: float = 0.1) -> NDArray[Any]:
        """Integrate from `start` (batch, genes) by the classical Runge-Kutta rule; return (batch, times, genes).

        All genes relax at rate 1, so steps of 0.1 are far inside the rule's stability (2.8); on SIM350 they leave errors of 4e-6.
        """
        x = np.ascontiguousarray(start.T)  # genes first: gathers and products run over whole rows
        states = [start]
        for first, second in zip(times[:-1], times[1:], strict=True):
            number = max(1, int(np.ceil((second - first) / step - 1e-9)))
            for _ in range(number):
                x = self._rk4(x, (second - first) / number)
            states.append(x.T)
        return np.stack(states, axis=1)

    def _production(self, x: NDArray[Any]) -> NDArray[Any]:
        kind = x.dtype
        names, at = np.unique(self.regulator, return_inverse=True)
        # x^n as exp(n log x), the logarithm once per regulator; a gene at 0 gives exp(-large) = 0
        logs = np.log(np.maximum(x[names], np.finfo(kind).tiny))
        powered = np.exp(logs[at] * self.exponent.astype(kind)[:, None])
        half = (self.ec50**self.exponent).astype(kind)[:, None]
        values = (1 - half) * powered / (half + (1 - 2 * half) * powered)
        values = _one_minus(values, self.sign < 0)
        for level in self.levels:
            values = level(values)
        return values

    def _derivative(self, x: NDArray[Any]) -> NDArray[Any]:
        out = np.zeros_like(x)
        out[self.regulated] = self._production(x) - x[self.regulated]
        return out

    def _rk4(self, x: NDArray[Any], h: float) -> NDArray[Any]:
        a = self._derivative(x)
        b = self._derivative(x + h / 2 * a)
        c = self._derivative(x + h / 2 * b)
        d = self._derivative(x + h * c)
        return np.asarray(x + h / 6 * (a + 2 * b + 2 * c + d))
