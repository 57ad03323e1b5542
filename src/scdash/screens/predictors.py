"""Predictions of fitted screens: at rest, carried through the ODE, or drawn from a linear causal model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from scdash._core.logging import logger
from scdash._core.network import Network
from scdash._data import as_dense, knockout_levels
from scdash.fields.perturbode import PerturbODE
from scdash.networks import unpack
from scdash.screens.baselines.notears import sample_linear_scm
from scdash.screens.equilibrium.steady_states import Equilibrium, SteadyStates
from scdash.screens.held_out import PERFECT, fill_unseen, predict_changes
from scdash.screens.statistics import Floats
from scdash.training.flow import EXPONENTIAL, Flow
from scdash.training.interventions import ADDED, Strengths


class Predictor(ABC):
    """What a fit says of perturbations it may never have seen; states are relative to the control mean `centre`.

    `lowest` (genes,) is the level of a gene that is not expressed: 0, or its lowest value where values are negative.
    """

    centre: Floats
    lowest: Floats | float

    @abstractmethod
    def solve(self, targets: NDArray[np.bool_], kinds: tuple[str, ...]) -> SteadyStates:
        """Return the mean change from control (perturbations, genes), and for which of them it was found."""

    @final
    def changes(self, targets: NDArray[np.bool_], kinds: tuple[str, ...]) -> Floats:
        """Return the mean change from control (perturbations, genes), and warn where a perturbation does not come to rest."""
        found = self.solve(targets, kinds)
        warn_unsettled(found.converged)
        return found.values

    def cells(self, control: Floats, targets: NDArray[np.bool_], kind: str, rng: np.random.Generator) -> Floats:
        """Return control cells (cells, genes) under one perturbation: moved by the mean change, never below the lowest level."""
        moved: Floats = np.maximum(control + self.changes(targets[None], (kind,)), self.lowest)
        return moved


@final
@dataclass(frozen=True)
class AtRest(Predictor):
    """Steady states of matched equations."""

    model: Equilibrium
    centre: Floats
    lowest: Floats | float = 0.0

    def solve(self, targets: NDArray[np.bool_], kinds: tuple[str, ...]) -> SteadyStates:
        """Return the fixed points."""
        return predict_changes(self.model, self.lowest - self.centre, targets, kinds)


@final
@dataclass(frozen=True)
class Carried(Predictor):
    """The control carried through a trained ODE."""

    field: PerturbODE
    params: dict[str, torch.Tensor]
    strengths: Strengths
    flow: Flow
    centre: Floats
    lowest: Floats | float = 0.0

    def solve(self, targets: NDArray[np.bool_], kinds: tuple[str, ...]) -> SteadyStates:
        """Return where the control mean goes in a given time, less where it goes unperturbed."""
        both = np.concatenate([np.zeros((1, targets.shape[1]), bool), targets])
        starts = np.repeat(self.centre[None], len(both), axis=0)
        reached = self._carry(starts, both, ("shift", *kinds))
        return _found(reached[1:] - reached[0])

    def cells(self, control: Floats, targets: NDArray[np.bool_], kind: str, rng: np.random.Generator) -> Floats:
        """Return control cells carried; decay maps them nearly to one point."""
        return self._carry(control, np.repeat(targets[None], len(control), axis=0), (kind,) * len(control))

    def _carry(self, starts: Floats, targets: NDArray[np.bool_], kinds: tuple[str, ...]) -> Floats:
        kind = np.asarray(kinds)[:, None]
        mask = torch.as_tensor(np.where(targets & np.isin(kind, PERFECT), 0, 1), dtype=torch.float32)
        added, weak = (torch.as_tensor(targets & found) for found in (np.isin(kind, ADDED), kind == "knockdown"))
        with torch.no_grad():
            m, u = self.strengths.apply(mask, added, weak)
            knocked = torch.as_tensor(targets & (kind == "knockout"))
            level = torch.as_tensor(np.broadcast_to(self.lowest, targets.shape[1:]).astype(np.float32))
            u = torch.where(knocked, self.field.rates(self.params) * level, u)  # dx/dt = w (level - x)
            x = torch.as_tensor(starts, dtype=torch.float32)[None]
            reached: Floats = self.flow.carry(self.field, self.params, x, m[None], u[None])[0].double().numpy()
        return reached


@final
@dataclass(frozen=True)
class LinearScm(Predictor):
    """An acyclic linear causal model; cells are sampled from it (Lin et al., appendix A.4)."""

    model: Equilibrium
    noise_sd: Floats
    centre: Floats
    lowest: Floats | float = 0.0

    def solve(self, targets: NDArray[np.bool_], kinds: tuple[str, ...]) -> SteadyStates:
        """Return the model's mean."""
        return predict_changes(self.model, self.lowest - self.centre, targets, kinds)

    def cells(self, control: Floats, targets: NDArray[np.bool_], kind: str, rng: np.random.Generator) -> Floats:
        """Return samples: the model's mean under the perturbation plus noise passed on along its edges."""
        mean = self.centre + self.changes(targets[None], (kind,))[0]
        perfect = kind in PERFECT
        weights = np.zeros((len(mean), len(mean)))
        regulators, rows = self.model.regulators
        weights[regulators] = np.where(targets[None, :], 0.0, rows) if perfect else rows
        none = np.zeros(len(mean), bool)
        return sample_linear_scm(weights, mean, self.noise_sd, none, np.zeros(len(mean)), len(control), rng=rng)


@final
@dataclass(frozen=True)
class Constant(Predictor):
    """The same change whatever is perturbed; targets take the strengths seen in training."""

    change: Floats
    effect: Floats
    centre: Floats
    lowest: Floats | float = 0.0

    def solve(self, targets: NDArray[np.bool_], kinds: tuple[str, ...]) -> SteadyStates:
        """Return the stored change beside the targets' own."""
        effect = np.stack([fill_unseen(self.effect, kind, self.lowest - self.centre) for kind in kinds])
        held = np.where(np.isin(kinds, PERFECT)[:, None], effect, self.change + effect)
        return _found(np.where(targets, held, self.change))


def warn_unsettled(converged: NDArray[np.bool_]) -> None:
    """Log a warning with the number of perturbations whose predicted state does not come to rest."""
    failed = int((~converged).sum())
    if failed:
        logger.warning(
            "    WARNING: %d of %d perturbations have no steady state that could be reached from the control: the network "
            "oscillates or diverges there, and what is returned is the last state. Do not read these predictions, or fit a "
            "sparser network.",
            failed,
            len(converged),
        )


def _found(change: Floats) -> SteadyStates:
    return SteadyStates(change, np.ones(len(change), bool))


def _weights_of_sources(a: Any) -> tuple[Floats, NDArray[np.int64]]:
    """Return the rows (sources, genes) of a stored matrix A (target, regulator) that are not all zero, and their positions."""
    outgoing = Network.from_incoming(a if sp.issparse(a) else as_dense(a)).outgoing
    outgoing.eliminate_zeros()
    sources = np.flatnonzero(np.diff(outgoing.indptr))
    return outgoing[sources].toarray().astype(float), sources


def predictor_of(entry: Mapping[str, Any]) -> Predictor:
    """Rebuild the predictor of a stored fit of a screen."""
    screen, params = entry["screen"], entry["params"]
    centre = np.asarray(screen["centre"], dtype=float)
    lowest = knockout_levels(entry)
    way = str(params["fit"])
    if way == "score":
        raise ValueError(f"{str(params['model'])!r} ranks edges and predicts nothing; use another fit or baseline.")
    if way == "transport":
        config = {name: int(value) for name, value in params["field_config"].items()}
        flow = Flow(float(params["duration"]), int(params["ode_steps"]), str(params.get("solver", EXPONENTIAL)))
        strengths = Strengths.from_values(np.asarray(screen["shift"]), np.asarray(screen["rho"]))
        return Carried(PerturbODE(**config), unpack(entry["weights"]), strengths, flow, centre, lowest)
    effect, constant = np.asarray(screen["effect"], dtype=float), np.asarray(screen["constant"], dtype=float)
    if way == "constant":
        return Constant(constant, effect, centre, lowest)
    slope = screen.get("slope")
    untried = float(screen.get("untried", 1.0))
    weights, sources = _weights_of_sources(entry["weights"]["A"])
    model = Equilibrium(weights, constant, effect, None if way == "linear" else float(slope), untried, sources)
    if way == "linear" and "noise_sd" in screen:
        return LinearScm(model, np.asarray(screen["noise_sd"], dtype=float), centre, lowest)
    return AtRest(model, centre, lowest)
