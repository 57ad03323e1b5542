"""How a model of dynamics is trained, as a value of a call."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scdash._core.errors import check_choice, unknown, unused
from scdash._core.values import Value
from scdash.solve import SOLVERS
from scdash.training.config import Plateau, TrainConfig

OF_EPOCHS = ("batch_size", "learning_rate", "decay", "plateau", "patience", "tolerance", "adjoint", "checkpoint")


@dataclass(frozen=True, repr=False)
class Training(Value):
    """How `scdash.tl.fit_dynamics` trains; None stands for what suits the model, its start and the data.

    Cells that start from the regression are trained on whole trajectories, which has `max_epochs`, `learning_rate` and
    `batch_size` alone; the other settings are refused there.

    Parameters
    ----------
    max_epochs
        Bound on the number of epochs; 0 keeps the start as it is.
    learning_rate
        Step size of Adam.
    batch_size
        Windows of states in a batch. Where training is on whole trajectories: roll-outs in a step, by default 32 of a single
        trajectory of cells and 64 of several.
    patience
        Epochs without a new lowest validation loss after which training ends.
    tolerance
        A pruning counts as harmless if the validation loss comes back to within this many standard errors of the lowest.
    decay
        Factor on the learning rate after every epoch.
    plateau
        Settings of the rule that lowers the learning rate where the validation loss stays flat, such as
        `{"factor": 0.9, "patience": 3}`; False: no such rule.
    window
        Steps that are solved from each start; 1 is consecutive pairs of states, as in the paper.
    tau
        Weight of the data against PHOENIX's prior loss, in [0, 1]; 1 is off.
    solver
        "rk4" (fixed steps, checked against a tight dopri5 and reported) or any solver of torchdiffeq.
    steps
        Steps of a solver with fixed steps between two times.
    adjoint
        Compute gradients by the adjoint equation: memory does not grow with the number of steps, but it is slower.
    checkpoint
        File to write the state of training to now and then, and to continue from if it exists. A file of another run is
        refused.
    checkpoint_every
        Epochs between two writings of `checkpoint`.
    max_memory
        Bytes that the models of a stack may take together; larger stacks are trained in parts.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.

    Examples
    --------
    >>> scdash.Training(max_epochs=60, learning_rate=1e-3)
    Training(max_epochs=60, learning_rate=0.001)
    """

    max_epochs: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    patience: int | None = None
    tolerance: float | None = None
    decay: float | None = None
    plateau: dict[str, float] | bool | None = None
    window: int | None = None
    tau: float | None = None
    solver: str | None = None
    steps: int | None = None
    adjoint: bool | None = None
    checkpoint: str | Path | None = None
    checkpoint_every: int | None = None
    max_memory: float | None = None

    def __post_init__(self) -> None:
        if self.solver is not None and self.solver not in SOLVERS:
            raise unknown("solver", self.solver, SOLVERS)
        if self.decay is not None and not 0 < self.decay <= 1:
            raise ValueError(f"decay must lie in (0, 1] (1: none), found {self.decay!r}.")
        if self.plateau is True:
            raise ValueError("plateau=True: give settings such as {'patience': 3}, False for no such rule, or None.")
        for name in self.plateau if isinstance(self.plateau, dict) else ():
            check_choice("setting of plateau", name, Plateau.__dataclass_fields__)
        replace(TrainConfig(), **self.settings())  # its checks
        if self.checkpoint_every is not None and self.checkpoint is None:
            raise unused("checkpoint_every", "there is no checkpoint to write")
        if self.max_epochs == 0:
            for name in OF_EPOCHS:
                if getattr(self, name) is not None:
                    raise unused(name, "max_epochs=0 trains for no epoch")

    def settings(self) -> dict[str, Any]:
        """Return the settings of `TrainConfig` that are given."""
        found = {name: value for name, value in self.given().items() if name != "checkpoint"}
        if "plateau" in found:
            found["plateau"] = None if self.plateau is False else Plateau(**self.plateau)  # type: ignore[arg-type]
        return found
