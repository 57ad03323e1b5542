"""The training schedule of Bernaerts, Berens & Kobak: every constant has a name and the paper's value."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from scdash._core.errors import check_choice, check_least
from scdash._core.values import Value

Start = Literal["best", "last"]
CELLS = 1091  # training cells of the smaller folds in the paper
LASSO = 0.1  # weight of the group lasso in the paper
PASSES = 50  # over the training cells, of each of the three stages before pruning, in the paper
BATCHES = 35  # of a pass over the training cells of a fold in the paper, 32 at a time
UNTIL_PRUNING = ("pretrain_epochs", "frozen_epochs", "unfrozen_epochs")


@dataclass(frozen=True, repr=False)
class BottleneckTraining(Value):
    r"""How `scdash.tl.sbnn` trains: constants of the five stages, the paper's by default (Methods, "Training" to "Group lasso").

    Parameters
    ----------
    hidden
        Units of the two hidden layers of the encoder; the decoders have them in reverse.
    n_clusters
        k-means clusters of the features that pre-training tells apart.
    pretrain_epochs, frozen_epochs, unfrozen_epochs
        Passes over the training cells in each of the stages that choose the genes; 0 skips a stage. None: the paper's 50, or,
        where a pass has fewer than the 35 batches that it has on the paper's cells, as many passes as make the same number
        of updates (1,750). The group lasso takes that long to tell the genes apart; after fewer updates the weights, and the
        genes, are still those that training started from.
    tuning_epochs, autoencoder_epochs
        Passes over the training cells in the stages after pruning. Tuning has no penalty: few cells are overfitted where it is
        as many updates as in the paper, and its passes are therefore as many as in the paper on any number of cells.
    pretrain_rate, frozen_rate, unfrozen_rate, tuning_rate, autoencoder_rate
        Learning rates of Adam, which starts afresh in each stage.
    validation_fraction
        Fraction of the training cells kept out of pre-training to choose its epoch.
    start_from
        Regression starts from the pre-training epoch of lowest validation cross-entropy ("best", the paper) or from
        the last one ("last", the released code).
    n_frozen
        Bottom layers that do not move in the frozen stage, at most the encoder's three.
    lasso
        Weight of the group lasso, the plain sum over genes of ||W_i||; on until pruning. None: the paper's 0.1, and
        :math:`0.1 \sqrt{1091 / n}` for n training cells where they are fewer than the 1,091 of the paper: correlations with
        features that a gene has nothing to do with are of size :math:`1 / \sqrt{n}`, and the penalty has to exceed them
        (Lounici et al. 2011, Annals of Statistics 39:2164).
    l2
        Weight of the sum of squares of every parameter trained.
    batch_size
        Cells of a step; the last, smaller batch of an epoch is used too.
    adam_epsilon
        Epsilon of Adam (Keras' default).

    See Also
    --------
    scdash.tl.sbnn : Predict one modality from a few genes of the other through a bottleneck (Bernaerts, Berens & Kobak 2023).

    Examples
    --------
    >>> scdash.BottleneckTraining(tuning_epochs=300)
    BottleneckTraining(tuning_epochs=300)
    """

    hidden: tuple[int, int] = (512, 128)
    n_clusters: int = 20
    pretrain_epochs: int | None = None
    frozen_epochs: int | None = None
    unfrozen_epochs: int | None = None
    tuning_epochs: int = 100
    autoencoder_epochs: int = 100
    pretrain_rate: float = 1e-4
    frozen_rate: float = 1e-4
    unfrozen_rate: float = 5e-5
    tuning_rate: float = 5e-5
    autoencoder_rate: float = 5e-5
    validation_fraction: float = 0.4
    start_from: Start = "best"
    n_frozen: int = 2
    lasso: float | None = None
    l2: float = 1e-10
    batch_size: int = 32
    adam_epsilon: float = 1e-7

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(int(units) for units in self.hidden))
        if len(self.hidden) != 2 or min(self.hidden) < 1:
            raise ValueError(f"hidden must be two positive numbers of units, found {self.hidden}.")
        for name in ("n_clusters", "tuning_epochs", "batch_size"):
            check_least(name, getattr(self, name), 1)
        for name, value in asdict(self).items():
            if name.endswith("_epochs") and value is not None and value < 0:
                raise ValueError(f"{name} must not be negative, found {value}.")
            if (name.endswith("_rate") or name == "adam_epsilon") and not value > 0:
                raise ValueError(f"{name} must be positive, found {value}.")
        if min(self.lasso or 0, self.l2) < 0:
            raise ValueError(f"lasso and l2 must not be negative, found {self.lasso} and {self.l2}.")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"validation_fraction must lie between 0 and 1, found {self.validation_fraction}.")
        if not 0 <= self.n_frozen <= 3:
            raise ValueError(f"n_frozen must be 0 to 3 (the encoder has three layers), found {self.n_frozen}.")
        check_choice("start_from", self.start_from, get_args(Start))

    def for_cells(self, n_train: int) -> "BottleneckTraining":
        """Return the schedule with every number that depends on how many training cells there are."""
        batches = max(1, -(-n_train // self.batch_size))
        passes = max(PASSES, -(-PASSES * BATCHES // batches))
        found: dict[str, Any] = {name: passes for name in UNTIL_PRUNING if getattr(self, name) is None}
        if self.lasso is None:
            found["lasso"] = LASSO * max(1.0, (CELLS / n_train) ** 0.5)
        return replace(self, **found)

    @property
    def total_epochs(self) -> int:
        """Epochs of all five stages of a schedule that :meth:`for_cells` has returned."""
        return sum(value for name, value in asdict(self).items() if name.endswith("_epochs"))

    def config(self) -> dict[str, Any]:
        """Return the constants as h5ad can hold them, of a schedule that :meth:`for_cells` has returned."""
        return {**asdict(self), "hidden": list(self.hidden)}


def training_of(value: Any) -> BottleneckTraining:
    """Return a value of the argument `training`; None stands for the paper's constants."""
    if value is None:
        return BottleneckTraining()
    if not isinstance(value, BottleneckTraining):
        raise TypeError(f"training must be a scdash.BottleneckTraining, found {value!r}.")
    return value
