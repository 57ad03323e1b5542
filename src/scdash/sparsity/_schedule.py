"""When to prune and how much: schedules as values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GeometricSchedule:
    """Remove `first` of the weights at `first_epoch`, then `then` of the REMAINING ones at multiples of `every`.

    The defaults are the DASH paper's for SIM350 and bone marrow: 70 % at epoch 3, then 10 % at every epoch divisible
    by 10, so that the density is 0.3 * 0.9^k. `until` is the sparsity at which to stop (the last step is cut to meet
    it), None never stops: the end of training finds the sparsity. `first=0` never prunes.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.
    """

    first: float = 0.7
    first_epoch: int = 3
    then: float = 0.1
    every: int = 10
    until: float | None = None

    def __post_init__(self) -> None:
        for name in ("first", "then"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be a fraction in [0, 1), found {getattr(self, name)!r}.")
        if self.until is not None and not 0 <= self.until < 1:
            raise ValueError(f"until must be a sparsity in [0, 1), found {self.until!r}.")
        if self.first_epoch < 0 or self.every < 1:
            raise ValueError(
                f"first_epoch must not be negative and every at least 1, found {self.first_epoch} and {self.every}."
            )

    def amount(self, epoch: int) -> float:
        """Return the fraction of the remaining weights to prune before training `epoch`; 0 is none."""
        if not self._due(epoch):
            return 0.0
        return 1 - self.density(epoch) / self.density(epoch - 1)

    def density(self, epoch: int) -> float:
        """Return the fraction of weights that remain while training `epoch` (up to rounding)."""
        if epoch < self.first_epoch or self.first == 0:
            return 1.0
        # multiples of `every` in (first_epoch, epoch]
        later = epoch // self.every - self.first_epoch // self.every
        density = (1 - self.first) * (1 - self.then) ** later
        return density if self.until is None else max(density, 1 - self.until)

    def last_pruning_epoch(self, max_epochs: int) -> int:
        """Return the last epoch before `max_epochs` at which anything is pruned, 0 if none is."""
        return next((epoch for epoch in range(max_epochs - 1, -1, -1) if self.amount(epoch) > 0), 0)

    def _due(self, epoch: int) -> bool:
        if self.first == 0 or epoch < self.first_epoch:
            return False
        return epoch == self.first_epoch or (epoch % self.every == 0 and self.then > 0)


NEVER = GeometricSchedule(first=0.0)
