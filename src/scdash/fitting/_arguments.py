"""Arguments that would have no effect are refused, or warned about, before anything is computed."""

from inspect import signature
from typing import Any

from scdash._errors import unknown, unused
from scdash._logging import logger
from scdash.dynamics.problem import FitProblem
from scdash.fields import FIELDS, Phoenix
from scdash.fitting._options import FitOptions, method_of
from scdash.fitting._whole import follows_trajectories
from scdash.sparsity import SPARSITIES, Sparsity

DEFAULTS: dict[str, Any] = {"encoder": "genes", "scale": "matched", "missing": "mean", "n_hidden": 40}
WITHOUT_PRIOR = ("imp", "posthoc")  # methods with a score that no prior enters


def settle(model: str, sparsity: str | Sparsity, **given: Any) -> dict[str, Any]:
    """Return `encoder`, `scale`, `missing` and `n_hidden` with defaults for what was not given (None).

    Raises ValueError for one that was given, or for `lambdas`, where it would have no effect with this model and method.
    """
    if model not in FIELDS:
        raise unknown("model", model, FIELDS)
    if isinstance(sparsity, str) and sparsity not in SPARSITIES:
        raise unknown("sparsity", sparsity, SPARSITIES)
    asked = {name: value for name, value in given.items() if value is not None}
    phoenix = FIELDS[model] is Phoenix
    encoder = asked.get("encoder", DEFAULTS["encoder"])
    if "encoder" in asked and not phoenix:
        raise unused("encoder", f"model={model!r} has none; it is for model='phoenix'")
    if "n_hidden" in asked and phoenix and encoder == "genes":
        raise unused("n_hidden", "encoder='genes' has no hidden units; use encoder='modules'")
    _check_pair(asked.pop("lambdas", None), sparsity, phoenix and encoder == "genes")
    if "scale" in asked and not _knows_scale(sparsity):
        raise unused("scale", f"it is how the scores of DASH are mixed, and sparsity={_name(sparsity)!r} has none")
    if "missing" in asked and not _uses_prior(sparsity):
        raise unused("missing", f"it says how the prior enters scores, and sparsity={_name(sparsity)!r} uses no prior")
    return {name: asked.get(name, DEFAULTS[name]) for name in given if name in DEFAULTS}


def refuse_unused(problem: FitProblem, options: FitOptions) -> None:
    """Raise for data that the model would not use; warn of a prior that only marks edges in the table."""
    modules = FIELDS[options.model] is Phoenix and options.encoder == "modules"
    used = _uses_prior(options.sparsity)
    if problem.coregulation is not None:
        if not modules or not used:
            raise unused("coregulation", "it enters the scores of DASH in the first layer of encoder='modules' alone")
        if problem.prior is None:
            raise unused("coregulation", "DASH without a prior prunes by magnitude; give a prior too")
    tau = options.training.get("tau", 1.0)
    if problem.prior is not None and options.start != "matching" and not used and tau >= 1:
        logger.warning(
            "the prior takes no part in this fit: model=%r from random weights with sparsity=%r uses none. It only marks "
            "and ranks edges in the table. Use start='matching', sparsity='dash' or tau < 1 to use it.",
            options.model,
            _name(options.sparsity),
        )


def warn_unused(options: FitOptions, schedule: Any, lambdas: Any) -> None:
    """Warn of settings of null models, training and pruning in a call that makes none, and trains for no epoch."""
    if options.null_models == "full" and not follows_trajectories(options):
        logger.warning(
            "controls='full' is without any effect: null models are made for cells that start from the regression and are "
            "trained on whole trajectories."
        )
    if options.training.get("max_epochs") != 0:
        return
    given = {"schedule": schedule, "lambdas": lambdas, "checkpoint": options.checkpoint}
    unused = [name for name, value in given.items() if value is not None]
    if unused:
        logger.warning("%s: without any effect, because max_epochs=0 neither trains nor prunes.", ", ".join(unused))


def _check_pair(lambdas: Any, sparsity: str | Sparsity, one_layer: bool) -> None:  # noqa: FBT001
    """Raise for a pair of different strengths of DASH where the network has one layer."""
    pair = isinstance(lambdas, tuple | list) and len(set(lambdas)) > 1
    if pair and one_layer and sparsity == "dash":
        raise unused("the first of lambdas", "encoder='genes' has one layer; give one number, or use encoder='modules'")


def _name(sparsity: str | Sparsity) -> str:
    return sparsity if isinstance(sparsity, str) else sparsity.name


def _knows_scale(sparsity: str | Sparsity) -> bool:
    return isinstance(sparsity, str) and "scale" in signature(SPARSITIES[sparsity]).parameters


def _uses_prior(sparsity: str | Sparsity) -> bool:
    """Return whether a prior can enter the method: it prunes by a score, which may be the user's own."""
    method = method_of(FitOptions(sparsity=sparsity)) if isinstance(sparsity, str) else sparsity
    return method.score is not None and method.name not in WITHOUT_PRIOR
