"""Carrying cells through PerturbODE under interventions, by the exponential integrator or a solver of torchdiffeq."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scdash.fields.perturbode import PerturbODE
from scdash.fields.vector_field import Params
from scdash.solve import SOLVERS, integrate
from scdash.solve.exponential import exponential_euler

EXPONENTIAL = "exponential"
FLOW_SOLVERS = (EXPONENTIAL, *SOLVERS)


@dataclass(frozen=True)
class Flow:
    """How far and by what steps: `steps` count for solvers with fixed steps, tolerances rule the adaptive ones."""

    duration: float = 10.0
    steps: int = 12
    solver: str = EXPONENTIAL

    def carry(self, field: PerturbODE, params: Params, x: Tensor, mask: Tensor, shift: Tensor) -> Tensor:
        """Return where x (models, batch, genes) is after `duration` of dx/dt = M production + u - w x."""
        if self.solver == EXPONENTIAL:
            return exponential_euler(
                field.production(params),
                field.rates(params)[:, None],
                x,
                duration=self.duration,
                steps=self.steps,
                mask=mask,
                shift=shift,
            )
        times = torch.tensor([0.0, self.duration], dtype=x.dtype)
        velocity = field.velocity_under(params, mask, shift)
        return integrate(velocity, x, times, solver=self.solver, steps=self.steps)[-1]
