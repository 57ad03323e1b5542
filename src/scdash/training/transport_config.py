"""Settings and result of training by transport."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from scdash._core.errors import check_choice
from scdash.fields.perturbode import PerturbODE
from scdash.fields.vector_field import Params
from scdash.training.flow import EXPONENTIAL, FLOW_SOLVERS, Flow
from scdash.training.interventions import Strengths


@dataclass(frozen=True)
class TransportConfig:
    """Settings of one training; the defaults are those seen to work (the paper's: T 25, dopri5, lr 1e-3)."""

    loss: Literal["w2", "mean"] = "mean"  # "w2" needs geomloss; its number is the debiased W2^2 / 2
    n_modules: int | None = None  # None: as many as genes, at most 100; 0: gene-wise
    l1: float = 1e-3  # lambda of sum |B| (sum |A| if gene-wise), beside a sum over genes and a mean over perturbations
    steps: int | None = None  # at most; None: 15,000, or 5,000 where `sparsity` prunes by a schedule
    cycle: int = 1000  # steps of the first cosine cycle of the learning rate; each later one is twice as long
    learning_rate: float = 5e-3
    perturbations: int = 20  # in one batched solve
    cells: int | None = (
        None  # control cells a perturbation; None: 16 for "w2", 2 for "mean", whose cells meet at one point
    )
    duration: float = 10.0
    ode_steps: int = 12  # of solvers with fixed steps
    solver: str = EXPONENTIAL  # or any of `scdash.solve`: "rk4", "dopri5", ...
    clip: float = 10.0
    learn_strength: bool = False  # learn s and rho beside the network (the paper's PerturbODE*)
    knockdown: float | None = None  # rho, the fraction of production taken away; None: from the data, gene by gene
    diffuse: float = 0.0  # noise of diffused targets in gene SDs; 0: off
    diffuse_duration: float = 0.5
    check_every: int = 100  # steps between validations; such a round is an epoch to a pruning schedule

    def __post_init__(self) -> None:
        for name, value, known in (("loss", self.loss, ("mean", "w2")), ("solver", self.solver, FLOW_SOLVERS)):
            check_choice(name, value, known)
        for name in (
            "steps",
            "cycle",
            "learning_rate",
            "perturbations",
            "duration",
            "ode_steps",
            "clip",
            "check_every",
        ):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, found {getattr(self, name)!r}.")
        if self.knockdown is not None and not 0 < self.knockdown <= 1:
            raise ValueError(f"knockdown must be a fraction in (0, 1], found {self.knockdown!r}.")

    @property
    def cells_a_perturbation(self) -> int:
        """Control cells carried to each perturbation."""
        return self.cells or (2 if self.loss == "mean" else 16)

    @property
    def flow(self) -> Flow:
        """How control cells are carried."""
        return Flow(self.duration, self.ode_steps, self.solver)

    @property
    def diffusing(self) -> Flow:
        """How noisy targets are carried back."""
        return Flow(self.diffuse_duration, max(2, self.ode_steps // 10), self.solver)


@dataclass(frozen=True)
class TransportFit:
    """A trained field, the masks of what was pruned, and how strongly genes were perturbed."""

    field: PerturbODE
    params: Params
    masks: Params
    strengths: Strengths
    history: pd.DataFrame
    seconds_per_epoch: float  # an epoch sees every perturbation once
