"""The predictor of unseen perturbations that was best on held-out ones: the network, or what is simpler."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash.screens.baselines.linear_model import linear_model, sum_of_singles
from scdash.screens.equilibrium.steady_states import SteadyStates
from scdash.screens.forward import LINEAR, NETWORK, OTHERS, SINGLES, best_predictor
from scdash.screens.predictors import Constant, Predictor
from scdash.screens.statistics import Floats


@final
@dataclass(frozen=True)
class BestPredictor(Predictor):
    """Predicts perturbations of the fit by its network, and others by what had the least error on held-out ones.

    `observed` changes and `targets` (perturbations, genes) are those of the fit; `single` and `combined` name the predictors of
    perturbations of one gene and of several.
    """

    network: Predictor
    observed: Floats
    targets: NDArray[np.bool_]
    mean: Floats  # (genes,)
    effect: Floats  # (genes,), what perturbations do to their own targets; NaN where never perturbed
    single: str
    combined: str

    @classmethod
    def of(cls, entry: Mapping[str, Any], network: Predictor) -> Self:
        """Read a stored fit; fits without errors of held-out perturbations predict by their network."""
        screen, errors = entry["screen"], entry.get("errors")
        table = errors if isinstance(errors, pd.DataFrame) and "error" in errors else pd.DataFrame({"predictor": []})
        nothing = np.full(len(network.centre), np.nan)
        return cls(
            network=network,
            observed=np.asarray(screen["change"], dtype=float)[1:],
            targets=sp.csr_matrix(screen["targets"]).toarray()[1:] != 0,
            mean=np.asarray(screen.get("mean_change", np.zeros(len(nothing))), dtype=float),
            effect=np.asarray(screen.get("effect", nothing), dtype=float),
            single=best_predictor(table, combined=False),
            combined=best_predictor(table, combined=True),
        )

    @property
    def centre(self) -> Floats:  # type: ignore[override]
        """(genes,), the control state."""
        return self.network.centre

    @property
    def lowest(self) -> Floats | float:  # type: ignore[override]
        """Levels of genes that are not expressed."""
        return self.network.lowest

    def names(self, targets: NDArray[np.bool_]) -> list[str]:
        """Return the predictor of each perturbation (asked, genes)."""
        seen = {row.tobytes() for row in self.targets}
        found = []
        for row in targets:
            name = self.combined if row.sum() > 1 else self.single
            if row.tobytes() in seen or (name == SINGLES and np.isnan(self._singles(row)).any()):
                name = NETWORK
            found.append(name)
        return found

    def solve(self, targets: NDArray[np.bool_], kinds: tuple[str, ...]) -> SteadyStates:
        """Return the changes, each by its predictor."""
        values, converged = np.zeros(targets.shape), np.ones(len(targets), bool)
        names = np.array(self.names(targets), dtype=str)
        by_network = names == NETWORK
        if by_network.any():
            chosen = tuple(kind for kind, use in zip(kinds, by_network, strict=True) if use)
            values[by_network], converged[by_network] = self.network.solve(targets[by_network], chosen)
        for i in np.flatnonzero(~by_network):
            values[i] = self._simple(names[i], targets[i], kinds[i])
        return SteadyStates(values, converged)

    def _simple(self, name: str, row: NDArray[np.bool_], kind: str) -> Floats:
        if name == SINGLES:
            return self._singles(row)
        if name == LINEAR:
            change = linear_model(self.observed, self.targets, row[None], self.mean)[0]
        else:
            change = self.mean if name == OTHERS else np.zeros(len(self.mean))
        return np.asarray(Constant(change, self.effect, self.centre, self.lowest).solve(row[None], (kind,)).values[0])

    def _singles(self, row: NDArray[np.bool_]) -> Floats:
        return np.asarray(sum_of_singles(self.observed, self.targets, row[None])[0])
