"""What a training by transport works on, and what it changes."""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash.fields.perturbode import PerturbODE
from scdash.fields.vector_field import Params
from scdash.screens.transport.cells import Distance, Evaluated, TransportCells
from scdash.sparsity import Prior, Sparsity
from scdash.training.cycles import Cycles
from scdash.training.flow import Flow
from scdash.training.interventions import Strengths
from scdash.training.transport_config import TransportConfig

Weights: TypeAlias = tuple[Params, Params, Strengths]  # with their masks


@dataclass(frozen=True)
class Task:
    """What is trained on what: everything that training does not change."""

    field: PerturbODE
    config: TransportConfig
    sparsity: Sparsity
    prior: Prior | None
    data: TransportCells
    perturbations: tuple[Tensor, Tensor, Tensor]  # M, added, weak of every perturbation (perturbations, genes)
    distance: Distance
    evaluated: Evaluated
    cycles: Cycles
    prunes_until: int  # step
    rng: np.random.Generator
    generator: torch.Generator

    def carry(
        self, params: Params, strengths: Strengths, start: Tensor, perturbations: NDArray[Any], flow: Flow
    ) -> Tensor:
        """Return start cells (perturbations * n, genes) under their perturbations' interventions, (perturbations, n, genes)."""
        n = start.shape[0] // len(perturbations)
        pick = torch.as_tensor(np.repeat(perturbations, n))
        mask, added, weak = (part[pick] for part in self.perturbations)
        m, u = strengths.apply(mask, added, weak)
        return flow.carry(self.field, params, start[None], m[None], u[None])[0].reshape(len(perturbations), n, -1)


@dataclass
class State:
    """What training changes."""

    params: Params
    masks: Params
    strengths: Strengths
    memory: Params
    best: NDArray[Any] | None = None  # errors of the validation perturbations where a cycle ended best
    kept: Weights | None = None
    before: Tensor | None = None  # network at the last round
    history: list[dict[str, float]] = field(default_factory=list)

    def copy(self) -> Weights:
        """Return the weights, masks and strengths as they are now."""
        params = {name: p.detach().clone() for name, p in self.params.items()}
        return params, dict(self.masks), self.strengths.copy()
