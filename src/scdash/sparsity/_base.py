"""What a sparsity method is to the training loop: a record of parts, each of which does nothing by default."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from dataclasses import field as default
from typing import Any

import torch
from torch import Tensor

from scdash._core.registry import Registry
from scdash.fields import Params, VectorField
from scdash.sparsity._prior import Prior
from scdash.sparsity._remove import number_of_fraction, remove_lowest
from scdash.sparsity._schedule import NEVER, GeometricSchedule


@dataclass(frozen=True, eq=False)
class Context:
    """What a penalty or a score sees of a stack of models; the leading axis of every tensor counts models.

    Parameters
    ----------
    field
        The vector field.
    params
        Its weights, and extra parameters of the method; a score gets them without gates.
    masks
        Which weights of every prunable parameter are left (True), as `VectorField.start_masks` shapes them.
    prior
        The prior where the fit uses it, or None. `prior.dense()` is (models or 1, targets, regulators), without signs.
    memory
        What the score has remembered.
    gradients
        For `Score.after_step` alone: derivatives of what training minimises with respect to `params`, before clipping,
        (models, ...); those of weights that were removed are 0. A parameter that the loss does not depend on is absent.
    """

    field: VectorField
    params: Params
    masks: Params = default(default_factory=dict)
    prior: Prior | None = None
    memory: Params = default(default_factory=dict)
    gradients: Params = default(default_factory=dict)


class Score(ABC):
    """Ranks the weights of a field for pruning; what it has to remember is passed in and out.

    One memory lives through all of the training of a model: `start`, then `after_step` for every step, then a call for
    every pruning. A memory is a dictionary of tensors whose first axis counts models, always with the same names.
    """

    def start(self, field: VectorField, params: Params, generator: torch.Generator) -> Params:
        """Return the memory before training."""
        return {}

    def after_step(self, seen: Context) -> Params:
        """Return the memory after a step of training, given the weights before the step and their gradients.

        Gradients are handed on only to scores that define this. Where a pruning comes before any training, one batch (an
        epoch of batches where training is on pairs of states) is looked at before it, without a step.
        """
        return seen.memory

    @abstractmethod
    def __call__(self, seen: Context) -> tuple[Params, Params]:
        """Return a score (models, out, in) for every prunable parameter, low goes first, and the new memory."""


def _nothing(*_: Any) -> dict[str, Any]:
    return {}


def _none(*_: Any) -> None:
    return None


def _no_gate(field: VectorField, params: Params, generator: torch.Generator | None) -> Params:
    return params


def _masked(field: VectorField, params: Params, masks: Params) -> tuple[Params, Params]:
    return {name: p * masks[name] if name in masks else p for name, p in params.items()}, dict(masks)


@dataclass(frozen=True, eq=False)
class Sparsity:
    """A sparsity method; build one with a function of this module or by name, `SPARSITIES["dash"](scale="paper")`.

    Parameters
    ----------
    name, options
        What `config` records: the registered name and the keyword options of its factory.
    extra_parameters
        (field, n_models, generator) -> parameters trained beside the field's own, e.g. gates.
    opened
        (field, n_models) -> the extra parameters beside weights that were trained without the method: gates so far open
        that they change nothing.
    gate
        (field, params, generator) -> effective weights of the field alone. With a generator one random draw, to be
        used for a whole ODE solve; with None the gates of evaluation.
    penalty
        A `Context` -> (models,) to add to the loss, or None.
    prox
        (`Context`, lr) -> None; changes its `params` in place after an optimiser step of learning rate `lr`, a number or
        (models,).
    score, schedule
        Which weights to prune, and when.
    finalise
        (field, params, masks) -> (params, masks): plain weights of the field with exact zeros, gates removed.
    learning_rates
        field -> factors on the learning rates of the extra parameters.
    refuse
        field -> why the method makes no sense on this field, or None.
    needs
        Options that the field must be built with; `adapt` sets them.
    ladder
        Strengths to try where none is given, in rising order, each a factor for every one of `lambdas`. The unit is the
        strength at which the penalty of the dense model equals its validation error, or the method's own strength where
        there is no penalty but a proximal step.
    levels, repeats, tuning_epochs
        Post-hoc pruning: sparsities to try after dense training, each fine-tuned, and how often to repeat it all.
    """

    name: str
    options: Mapping[str, Any] = default(default_factory=dict)
    extra_parameters: Callable[[VectorField, int, torch.Generator], Params] = _nothing
    opened: Callable[[VectorField, int], Params] = _nothing
    gate: Callable[[VectorField, Params, torch.Generator | None], Params] = _no_gate
    penalty: Callable[[Context], Tensor | None] = _none
    prox: Callable[[Context, Tensor | float], None] = _none
    score: Score | None = None
    schedule: GeometricSchedule = NEVER
    finalise: Callable[[VectorField, Params, Params], tuple[Params, Params]] = _masked
    learning_rates: Callable[[VectorField], dict[str, float]] = _nothing
    refuse: Callable[[VectorField], str | None] = _none
    needs: Mapping[str, Any] = default(default_factory=dict)
    ladder: tuple[tuple[float, ...], ...] = ()
    levels: tuple[float, ...] = ()
    repeats: int = 1
    tuning_epochs: int = 0

    @property
    def has_strength(self) -> bool:
        """Whether a penalty or a proximal step grows with `lambdas`, so that a path over lambda makes sense."""
        return self.penalty is not _none or self.prox is not _none

    @property
    def zeros_from_training(self) -> bool:
        """Whether training itself, or pruning after it, makes the zeros, so that it begins with a dense network."""
        return self.has_strength or bool(self.levels)

    def amount(self, epoch: int) -> float:
        """Return the fraction of the remaining weights to prune before training `epoch`; 0 is none."""
        return 0.0 if self.score is None else self.schedule.amount(epoch)

    @property
    def plain(self) -> bool:
        """Whether weights are trained as they are: no gate, penalty or proximal step that looks at whole matrices."""
        return (self.gate, self.penalty, self.prox) == (_no_gate, _none, _none)

    @property
    def follows_steps(self) -> bool:
        """Whether the score is to be told of every step of training, with its gradients."""
        return self.score is not None and type(self.score).after_step is not Score.after_step

    def after_step(self, seen: Context) -> Params:
        """Return what `prune` has to remember after a step of training, see `Score.after_step`."""
        if self.score is None:
            return seen.memory
        with torch.no_grad():
            return dict(self.score.after_step(seen))

    def last_pruning_epoch(self, max_epochs: int) -> int:
        """Return the last epoch before `max_epochs` that begins with a pruning, 0 if there is none."""
        return 0 if self.score is None else self.schedule.last_pruning_epoch(max_epochs)

    def start(self, field: VectorField, params: Params, generator: torch.Generator) -> Params:
        """Return what `prune` has to remember, before training."""
        return {} if self.score is None else self.score.start(field, params, generator)

    def prune(
        self,
        field: VectorField,
        params: Params,
        masks: Params,
        memory: Params,
        amount: float | Tensor,
        prior: Prior | None = None,
    ) -> tuple[Params, Params]:
        """Return new masks and memory after removing round(amount * remaining) weights of every prunable matrix.

        Masks are cumulative; nothing given is changed.
        """
        if self.score is None:
            return dict(masks), dict(memory)
        with torch.no_grad():
            scores, memory = self.score(Context(field, params, masks, prior, memory))
            found = dict(masks)
            for path in field.paths():
                for layer in path.layers:
                    mask = layer.collapse(masks[layer.parameter])
                    count = number_of_fraction(mask, amount)
                    tie = layer.importance(params)  # scores tie where only the prior counts
                    found[layer.parameter] = layer.expand(remove_lowest(scores[layer.parameter], mask, count, tie=tie))
        return found, memory

    def adapt(self, field: VectorField) -> VectorField:
        """Return the field, with the options this method needs; raise ValueError if they make no sense together."""
        reason = self.refuse(field)
        if reason is not None and is_dataclass(field) and set(self.needs) <= {f.name for f in fields(field)}:
            field = replace(field, **self.needs) if self.needs else field
            reason = self.refuse(field)
        if reason is not None:
            raise ValueError(f"sparsity={self.name!r} does not fit the vector field {field.name!r}: {reason}")
        return field

    def with_options(self, **changes: Any) -> "Sparsity":
        """Return the method with other options, e.g. a stronger `lambdas` for the next step of a path."""
        return SPARSITIES[self.name](**{**self.options, **changes})

    def settled(self) -> "Sparsity":
        """Return the method with gates held as evaluation has them: none is drawn, opened or closed any more."""

        def held(field: VectorField, params: Params, generator: torch.Generator | None) -> Params:
            return self.gate(field, params, None)

        return replace(self, gate=held, learning_rates=lambda field: dict.fromkeys(self.learning_rates(field), 0.0))

    def of_models(self, part: slice | Sequence[int], models: int) -> "Sparsity":
        """Return the method for some models of a stack of `models`: their own strengths where each has one."""
        changes = {name: _part(value, part, models) for name, value in self.options.items()}
        same = all(changes[name] is value for name, value in self.options.items())
        return self if same else self.with_options(**changes)

    def config(self) -> dict[str, Any]:
        """Return JSON-like settings for `from_config`."""
        return {"name": self.name, **{name: _plain(value) for name, value in self.options.items()}}


SPARSITIES: Registry[Callable[..., Sparsity]] = Registry("sparsity")


def from_config(config: Mapping[str, Any]) -> Sparsity:
    """Rebuild a method from `Sparsity.config()`."""
    options = dict(config)
    return SPARSITIES[options.pop("name")](**options)


def as_sparsity(method: "str | Sparsity", **options: Any) -> Sparsity:
    """Return a method given by name and options, or as it is."""
    if not isinstance(method, Sparsity):
        return SPARSITIES[method](**options)
    if options:
        raise TypeError(f"Options {sorted(options)} go with a method's name; sparsity is an object, so set them there.")
    return method


def _part(value: Any, part: slice | Sequence[int], models: int) -> Any:
    """Return a value with its tensors (models,) cut, or itself if it has none."""
    if isinstance(value, Tensor) and value.ndim == 1 and len(value) == models:
        return value[part].clone()
    if isinstance(value, tuple | list):
        cut = [_part(v, part, models) for v in value]
        return value if all(a is b for a, b in zip(cut, value, strict=True)) else type(value)(cut)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.tolist()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in fields(value)}
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value
