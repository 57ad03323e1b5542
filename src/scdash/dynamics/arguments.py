"""From the values of a call to the options of a fit: what would have no effect is refused, or warned about."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scdash._core.errors import unknown, unused
from scdash._core.logging import logger
from scdash.dynamics.options import FitOptions, method_of
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.whole_trajectories.settings import follows_trajectories
from scdash.fields import VectorField
from scdash.models import Model, Phoenix, model_of
from scdash.regression import Regression
from scdash.resampling.validation import Validation
from scdash.sparsity import DASH, Method, Sparsity, sparsity_of, sparsity_options
from scdash.training import Training

# methods that no prior enters, neither their score nor their penalty, which may be the user's own
WITHOUT_PRIOR = ("none", "imp", "posthoc", "l0", "cnode", "pathreg", "lassonet", "group_lasso")
STARTS = ("auto", "random", "regression")


@dataclass(frozen=True)
class Asked:
    """What a call asks for, in values: names stand for values with default options."""

    model: str | Model | VectorField  # a name only where a user has registered the field
    sparsity: str | Method | Sparsity  # a name only where there is no value for it
    start: str | Regression
    training: Training
    validation: Validation

    @property
    def one_layer(self) -> bool:
        """Whether the weights of the model are its network."""
        return isinstance(self.model, Phoenix) and self.model.encoder == "genes"

    @property
    def model_name(self) -> str:
        """The name of the model."""
        return self.model if isinstance(self.model, str) else self.model.name

    @property
    def names(self) -> str:
        """What is fitted, for the log."""
        method = self.sparsity
        name = method if isinstance(method, str) else method.method if isinstance(method, Method) else method.name
        return f"{self.model_name}, sparsity {name}"

    @property
    def cross_validated(self) -> bool:
        """Whether the weight of the prior is to be chosen by folds first."""
        return isinstance(self.sparsity, DASH) and self.sparsity.lambdas == "cv"

    def options(self) -> dict[str, Any]:
        """Return the options of `FitOptions` that the values stand for."""
        file = self.training.checkpoint
        found: dict[str, Any] = {
            "training": self.training.settings(),
            "checkpoint": None if file is None else Path(file),
        }
        found |= {"null_models": self.validation.null_models, "hold_out": self.validation.hold_out}
        if isinstance(self.start, Regression):
            found |= {"start": "regression", "regression": self.start}
        else:
            found["start"] = self.start
        return found | _model_options(self.model) | sparsity_options(self.sparsity)


def settle(
    model: str | Model | VectorField = "phoenix",
    sparsity: str | Method | Sparsity = "dash",
    start: str | Regression = "auto",
    training: Training | None = None,
    validation: Validation | None = None,
) -> Asked:
    """Return the values that a call stands for; what does not go together is refused.

    Raises ValueError, TypeError for an unknown name, a value of the wrong kind, or one that would have no effect
    beside the others.
    """
    asked = Asked(
        model_of(model),
        sparsity_of(sparsity),
        _start_of(start),
        _of_type(Training, training, "training"),
        _of_type(Validation, validation, "validation"),
    )
    lambdas = getattr(asked.sparsity, "lambdas", None)
    if isinstance(asked.sparsity, DASH) and asked.one_layer and isinstance(lambdas, tuple) and len(set(lambdas)) > 1:
        raise unused("the first of lambdas", "encoder='genes' has one layer; give one number, or use encoder='modules'")
    _check_start(asked)
    return asked


def _start_of(start: str | Regression) -> str | Regression:
    if isinstance(start, Regression):
        return start
    if start not in STARTS:
        raise unknown("start", start, (*STARTS, "Regression(...)"))
    return str(start)


def _of_type(kind: Any, value: Any, name: str) -> Any:
    """Return a value of a kind; None stands for its defaults."""
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a scdash.{kind.__name__}, found {value!r}.")
    return value


def _model_options(model: str | Model | VectorField) -> dict[str, Any]:
    if isinstance(model, str):
        return {"model": model}
    if isinstance(model, Phoenix):
        return {"model": model.name, "encoder": model.encoder, "n_hidden": model.units}
    return {"model": model.name, "form": model}


def _check_start(asked: Asked) -> None:
    """Raise for a start from the regression where the model or the method has no use for it."""
    if asked.start in ("auto", "random"):
        return
    if not isinstance(asked.model, Phoenix):
        raise ValueError(
            f"start='regression' gives a PHOENIX its weights; model={asked.model_name!r} has none to take. Use start='random'."
        )
    if getattr(asked.sparsity, "levels", ()):
        raise ValueError("sparsity='posthoc' prunes a model that was trained dense; it needs start='random'.")


def refuse_unused(problem: FitProblem, options: FitOptions) -> None:
    """Raise for data and settings that the model would not use; warn of a prior that only marks edges in the table."""
    used = options.method_name not in WITHOUT_PRIOR
    if problem.coregulation is not None:
        if not (options.is_phoenix and options.encoder == "modules") or not used:
            raise unused("coregulation", "it enters the scores of DASH in the first layer of encoder='modules' alone")
        if problem.prior is None:
            raise unused("coregulation", "DASH without a prior prunes by magnitude; give a prior too")
    if problem.prior is None and options.sparsity == "dash":
        given = {"lambdas": options.lambdas is not None, "scale": options.scale != "matched"}
        for name in [name for name, there in given.items() if there]:
            raise unused(name, "DASH without a prior prunes by magnitude; give a prior too")
    if options.cells and options.regression.given():
        names = ", ".join(options.regression.given())
        raise unused(names, "cells start from the mean of many regressions; Regression(...) is for states")
    if options.checkpoint is not None and method_of(options).levels:
        raise unused("checkpoint", f"sparsity={options.method_name!r} trains many models one after the other")
    _warn_of_prior(problem, options, used=used)


def _warn_of_prior(problem: FitProblem, options: FitOptions, *, used: bool) -> None:
    tau = options.training.get("tau", 1.0)
    if problem.prior is not None and options.start != "regression" and not used and tau >= 1:
        logger.warning(
            "the prior takes no part in this fit: model=%r from random weights with sparsity=%r uses none. It only marks "
            "and ranks edges in the table. Use start='regression', sparsity='dash' or tau < 1 to use it.",
            options.model,
            options.method_name,
        )


def warn_unused(options: FitOptions, asked: Asked) -> None:
    """Warn of settings of null models and of pruning in a call that makes none, and trains for no epoch."""
    if options.null_models == "full" and not follows_trajectories(options):
        logger.warning(
            "null_models='full' is without any effect: null models are made for cells that start from the regression and are "
            "trained on whole trajectories."
        )
    if options.training.get("max_epochs") != 0:
        return
    names = [name for name in ("schedule", "lambdas") if getattr(asked.sparsity, name, None) is not None]
    if names:
        logger.warning("%s: without any effect, because max_epochs=0 neither trains nor prunes.", ", ".join(names))
