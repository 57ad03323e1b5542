"""Settings of one training run; every default is the paper's released schedule unless a comment says otherwise."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plateau:
    """Multiply the learning rate by `factor` after more than `patience` epochs without a gain of `threshold`."""

    factor: float = 0.9
    patience: int = 3
    threshold: float = 1e-6
    minimum: float = 4e-5


@dataclass(frozen=True)
class TrainConfig:
    """How a stack of models is trained.

    `window` is the number of steps rolled out from each start state (1 = consecutive pairs, as in the paper; cells
    need more, because neighbouring smoothed bins share cells). `tau` weighs data against the prior loss; 1 is off.
    A pruning counts as harmless if the validation loss comes back to within `tolerance` standard errors of the lowest;
    the model returned is the best one after the last harmless pruning. 0 returns the lowest validation loss of all.
    """

    max_epochs: int = 500
    batch_size: int = 28
    window: int = 1
    learning_rate: float = 1e-3
    decay: float = 1.0  # factor on the learning rate after every epoch, beside the plateau rule
    plateau: Plateau | None = Plateau()
    patience: int = 40  # epochs without a new lowest validation loss
    tolerance: float = 0.0
    solver: str = "rk4"
    steps: int = 4  # rk4 steps per interval
    adjoint: bool = False
    tau: float = 1.0
    checkpoint_every: int = 10
    max_memory: float = 2e9  # bytes that models of a stack may take together; larger stacks are trained in parts

    def __post_init__(self) -> None:
        for name in ("max_epochs", "batch_size", "window", "steps", "patience", "checkpoint_every"):
            value = getattr(self, name)
            if value != int(value) or value < (0 if name == "max_epochs" else 1):
                raise ValueError(f"{name} must be a positive whole number, found {value!r}.")
        if not self.max_memory > 0:
            raise ValueError(f"max_memory must be positive (bytes), found {self.max_memory!r}.")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, found {self.learning_rate!r}.")
        if not self.tolerance >= 0:
            raise ValueError(f"tolerance must not be negative (standard errors), found {self.tolerance!r}.")
        if not 0 <= self.tau <= 1:
            raise ValueError(f"tau must lie in [0, 1] (1: no prior loss), found {self.tau!r}.")
