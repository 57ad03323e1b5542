"""What a fit of dynamics can be asked for, and the recipe that fits each kind of start and data."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from scdash._core.errors import check_choice, unknown
from scdash._core.parallel import resolve_device
from scdash.fields import FIELDS, Phoenix, VectorField
from scdash.models import Model
from scdash.regression import Regression
from scdash.sparsity import SPARSITIES, GeometricSchedule, Sparsity, method_from
from scdash.training import Plateau, TrainConfig

Start = Literal["auto", "regression", "random"]


@dataclass(frozen=True)
class FitOptions:
    """Settings of one fit on arrays; see `scdash.tl.fit_dynamics` for their meaning."""

    model: str = "phoenix"  # the name of the field
    form: Model | VectorField | None = None  # the model with its options, or a field of the user's own
    sparsity: str | Sparsity = "dash"
    encoder: Literal["genes", "modules"] = "genes"
    start: Start = "auto"  # replaced by what it stands for
    regression: Regression = field(default_factory=Regression)
    lambdas: Any = None  # one strength, or (first, second); each a number or one per model
    scale: Literal["matched", "paper"] = "matched"
    missing: Literal["mean", "zero"] = "mean"
    schedule: GeometricSchedule | None = None
    n_hidden: int = 40  # of encoder="modules"
    n_models: int = 1
    seed: int = 0
    device: str = "auto"
    cells: bool = False
    null_models: bool | Literal["full"] = True  # of cells that are trained on whole trajectories
    hold_out: float | None = None  # fraction held out where there is no split; None: as the kind of fit needs it
    sparsity_options: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)  # fields of TrainConfig that differ from the recipe
    checkpoint: Path | None = None
    progress: bool | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            *((("model", self.model, FIELDS),) if self.form is None else ()),
            ("encoder", self.encoder, ("genes", "modules")),
            ("start", self.start, ("auto", "regression", "random")),
            ("scale", self.scale, ("matched", "paper")),
            ("missing", self.missing, ("mean", "zero")),
            *((("sparsity", self.sparsity, SPARSITIES),) if isinstance(self.sparsity, str) else ()),
            *(("training setting", setting, TrainConfig.__dataclass_fields__) for setting in self.training),
        ):
            check_choice(name, value, known)
        if not isinstance(self.null_models, bool) and self.null_models != "full":
            raise unknown("null_models", self.null_models, ("True", "False", "full"))
        resolve_device(self.device)
        if self.start == "auto":
            # The regression hands its network to PHOENIX alone, and to methods whose zeros come out of training it would
            # leave nothing to do.
            own = not self.is_phoenix or method_of(self).zeros_from_training
            object.__setattr__(self, "start", "random" if own else "regression")
        if self.n_models != int(self.n_models) or self.n_models < 1:
            raise ValueError(f"n_models must be a positive whole number, found {self.n_models!r}.")

    @property
    def method_name(self) -> str:
        """The name of the sparsity method."""
        return self.sparsity if isinstance(self.sparsity, str) else self.sparsity.name

    @property
    def is_phoenix(self) -> bool:
        """Whether the model is PHOENIX, whose weights the regression can give."""
        return not isinstance(self.form, VectorField) and FIELDS[self.model] is Phoenix


def method_of(options: FitOptions, **given: Any) -> Sparsity:
    """Return the sparsity method with the user's own options, and `given` ones where the user has none."""
    return method_from(options.sparsity, options.sparsity_options, **given)


@dataclass(frozen=True)
class Recipe:
    """How a kind of fit is trained and when it is pruned, before the user's own settings."""

    config: TrainConfig
    schedule: GeometricSchedule


# The paper's released settings for simulated time courses. Batches of a few pairs (the released code solves pairs one by
# one) reach validation losses that stay flat until 95 % of the weights are gone; with 28 pairs the best model is denser.
# Among models that flat the sparsest is meant: hence one standard error.
PAPER = Recipe(
    TrainConfig(batch_size=4, tolerance=1.0), GeometricSchedule(first=0.7, first_epoch=3, then=0.1, every=10)
)
# One weight per pair of genes trains faster than two layers, so it is pruned faster too.
GENES = Recipe(
    TrainConfig(max_epochs=140, learning_rate=2e-3, patience=40),
    GeometricSchedule(first=0.7, first_epoch=4, then=0.1, every=4),
)
# Regression starts that are not trained on whole trajectories (hidden units, penalties, a checkpoint) are sparse already:
# short training, gentle pruning, and the start itself is what has to be beaten.
POLISH = Recipe(
    TrainConfig(max_epochs=15, patience=5),
    GeometricSchedule(first=0.05, first_epoch=5, then=0.05, every=5),
)
# Smoothed bins of cells: neighbouring bins share cells, so errors count over several bins; see specs in the docs.
CELLS = Recipe(
    TrainConfig(
        max_epochs=60, batch_size=16, window=5, learning_rate=2e-3, decay=0.98, plateau=None, patience=60, steps=1
    ),
    GeometricSchedule(first=0.7, first_epoch=10, then=0.1, every=2, until=0.95),
)
POLISH_CELLS = Recipe(replace(CELLS.config, max_epochs=15, learning_rate=1e-3, patience=5), POLISH.schedule)


def recipe(options: FitOptions) -> Recipe:
    """Return the recipe of `options`, with the user's own settings on top."""
    matched = options.start == "regression"
    if options.cells:
        base = POLISH_CELLS if matched else CELLS
    elif matched:
        base = POLISH
    else:
        base = GENES if options.encoder == "genes" and options.model == "phoenix" else PAPER
    settings = dict(options.training)
    if isinstance(settings.get("plateau"), dict):
        settings["plateau"] = Plateau(**settings["plateau"])
    return Recipe(replace(base.config, **settings), options.schedule or base.schedule)
