"""DASH and its relatives: iterative magnitude, prior-only and post-hoc pruning (Hossain et al. 2025)."""

from dataclasses import dataclass
from typing import Any, Literal, final

import torch
from torch import Tensor

from scdash._core.errors import check_choice, check_least
from scdash.fields import Params, RegulatoryPath, VectorField
from scdash.sparsity import _scores as scores
from scdash.sparsity._base import SPARSITIES, Context, Score, Sparsity
from scdash.sparsity._path_norm import refuse_skips
from scdash.sparsity._prior import Prior
from scdash.sparsity._schedule import GeometricSchedule
from scdash.sparsity._strength import Lambda, as_lambdas, per_model

LEVELS = (0.5, 0.75, 0.83, 0.87, 0.9, 0.92, 0.95, 0.97, 0.99)
# first-layer and last-layer strengths where none are given: the paper's for SIM350 on its own scale; on the matched
# scale those of the trials (specs: modules 0.5/0.95, gene-wise 0.5 to 0.9)
DEFAULT_LAMBDAS = {"paper": (0.05, 0.01), "matched": (0.5, 0.95)}
DEFAULT_FACTORISED = 0.95  # both layers alike, because one factor means nothing without the other
DEFAULT_SINGLE = {"paper": 0.01, "matched": 0.7}


@final
@dataclass(frozen=True, eq=False)
class DashScore(Score):
    """Scores that mix magnitude with the prior by the rule for each path's depth: L = 1, L = 2 (Eqs. 1-3), deeper (B.6).

    A `factorised` path of two layers gets non-negative factors of the prior instead, on the matched scale.

    `lambdas` counts from the input side: one for all layers, (first, all others), or one a layer. A path of one layer
    takes the last. None stands for the defaults.
    """

    lambdas: tuple[Lambda, ...] | None
    scale: Literal["paper", "matched"]
    must_have_prior: bool = False

    def start(self, field: VectorField, params: Params, generator: torch.Generator) -> Params:
        """Return U(0, 1) scores: equal ones would make Omega Omega^T singular."""
        memory = {}
        for path in field.paths():
            if len(path.layers) > 1 and self._counts(len(path.layers)) and not self._factorises(path):
                remembered = path.layers[:1] if len(path.layers) == 2 else path.layers
                for layer in remembered:
                    shape = layer.importance(params).shape
                    memory[layer.parameter] = torch.rand(shape, generator=generator, dtype=torch.float64)
        return memory

    def __call__(self, seen: Context) -> tuple[Params, Params]:
        """Return scores by parameter, and those that the next pruning will need."""
        field, params, masks, prior, memory = seen.field, seen.params, seen.masks, seen.prior, seen.memory
        if prior is None and self.must_have_prior:
            raise ValueError("sparsity='bio' prunes by the prior alone: pass `prior`, or use sparsity='imp'.")
        found: Params = {}
        for path in field.paths():
            known = prior
            if prior is not None:
                known = prior.to(params[path.layers[0].parameter].device)
                known = known if path.entries is not None else known.of_inputs(path.inputs)
            found |= self._path_scores(path, params, masks, memory, known)
        return found, {name: found[name] for name in memory}

    def _path_scores(
        self, path: RegulatoryPath, params: Params, masks: Params, memory: Params, prior: Prior | None
    ) -> Params:
        depth = len(path.layers)
        names = [layer.parameter for layer in path.layers]
        use = prior if self._counts(depth) else None
        # scores not updated yet are those of the previous pruning
        current = {name: memory[name] for name in names if name in memory}

        def scored(position: int, part: Tensor | None) -> Tensor:
            layer = path.layers[position]
            importance = layer.importance(params).double()
            lam = per_model(self._lambda(position, depth), importance, 3)
            mask = layer.collapse(masks[layer.parameter])
            return scores.mix(importance, part, lam, mask, scores.SCALES[self.scale])

        def last(below: Tensor) -> Tensor:
            """Score the layer into the targets."""
            assert use is not None
            layer, part = path.layers[-1], scores.last_part(below, use)
            if use.missing == "mean":
                mask = layer.collapse(masks[layer.parameter])
                part = scores.fill_unknown(part, layer.importance(params).double(), mask, use.known())
            return scored(depth - 1, part)

        if use is None:
            return {name: scored(position, None) for position, name in enumerate(names)}
        if depth == 1:
            edges = use.dense() if path.entries is None else use.at(*path.entries)
            return {names[0]: scored(0, edges.to(params[names[0]].device))}
        if self._factorises(path):
            return self._factor_scores(path, params, masks, use)
        if depth == 2:
            first = scored(0, scores.coregulation_part(current[names[0]], use))
            return {names[0]: first, names[1]: last(first)}
        current[names[-1]] = last(scores.chain([current[name] for name in names[:-1]]))
        for position in (*range(1, depth - 1), 0):
            above = [current[name] for name in names[position + 1 :]]
            below = [current[name] for name in names[:position]]
            if not below:
                part = scores.first_part(scores.chain(above), use)
            else:
                part = scores.middle_part(scores.chain(above), scores.chain(below), use)
            current[names[position]] = scored(position, part)
        return current

    def _factorises(self, path: RegulatoryPath) -> bool:
        """Return whether the prior is split into factors, instead of by the paper's formulas as `scale="paper"` asks."""
        return path.factorised and (self.scale == "matched" or self.must_have_prior)

    def _factor_scores(self, path: RegulatoryPath, params: Params, masks: Params, prior: Prior) -> Params:
        """Score both layers by the non-negative factors of the prior that are nearest to their weights."""
        weights = [layer.importance(params).double() for layer in path.layers]
        kept = [layer.collapse(masks[layer.parameter]) for layer in path.layers]
        last, first = scores.factor_parts(weights[1] * kept[1], weights[0] * kept[0], prior)
        if prior.missing == "mean":
            last = scores.fill_unknown(last, weights[1], kept[1], prior.known())
        found = {}
        for position, part in enumerate((first, last)):
            lam = per_model(self._lambda(position, 2, factorised=True), part, 3)
            mixed = scores.mix(weights[position], part, lam, kept[position], scores.matched_scale)
            found[path.layers[position].parameter] = mixed
        return found

    def _lambda(self, position: int, depth: int, *, factorised: bool = False) -> Lambda:
        if self.lambdas is None and factorised:
            return DEFAULT_FACTORISED
        if self.lambdas is None:
            if depth == 1:
                return DEFAULT_SINGLE[self.scale]
            return DEFAULT_LAMBDAS[self.scale][min(position, 1)]
        if depth == 1:
            return self.lambdas[-1]
        if len(self.lambdas) not in (1, 2, depth):
            raise ValueError(
                f"lambdas must hold 1, 2 or {depth} strengths for {depth} layers, found {len(self.lambdas)}."
            )
        return self.lambdas[min(position, len(self.lambdas) - 1)]

    def _counts(self, depth: int) -> bool:
        """Return whether the prior counts anywhere in a path of this depth."""
        return any(bool(torch.as_tensor(self._lambda(i, depth) != 0).any()) for i in range(depth))


@SPARSITIES.register("dash")
def dash(
    *,
    lambdas: Any = None,
    scale: Literal["paper", "matched"] = "matched",
    schedule: GeometricSchedule | dict[str, Any] | None = None,
) -> Sparsity:
    """Prune by magnitude and agreement with the prior, iteratively (DASH).

    `lambdas` count from the first layer to the last, each a number or one per model (models,): 0 is pruning by magnitude,
    1 by the prior alone. Options as for `scdash.sparsity.DASH`.
    """
    check_choice("scale", scale, scores.SCALES)
    strengths = None if lambdas is None else as_lambdas(lambdas)
    if strengths is not None and any(bool((torch.as_tensor(lam) > 1).any()) for lam in strengths):
        raise ValueError(f"lambdas of DASH are fractions of the prior in [0, 1], found {lambdas!r}.")
    plan = _schedule(schedule)
    options = {"lambdas": strengths, "scale": scale, "schedule": plan}
    return Sparsity("dash", options, score=DashScore(strengths, scale), schedule=plan, refuse=refuse_skips)


@SPARSITIES.register("imp")
def imp(*, schedule: GeometricSchedule | dict[str, Any] | None = None) -> Sparsity:
    """Iterative magnitude pruning: DASH with lambda = 0."""
    plan = _schedule(schedule)
    return Sparsity("imp", {"schedule": plan}, score=DashScore((0.0,), "paper"), schedule=plan, refuse=refuse_skips)


@SPARSITIES.register("bio")
def bio(*, schedule: GeometricSchedule | dict[str, Any] | None = None) -> Sparsity:
    """Pruning by the prior alone: DASH with lambda = 1; equal scores are ordered by magnitude."""
    plan = _schedule(schedule)
    score = DashScore((1.0,), "paper", must_have_prior=True)
    return Sparsity("bio", {"schedule": plan}, score=score, schedule=plan, refuse=refuse_skips)


@SPARSITIES.register("posthoc")
def posthoc(*, levels: tuple[float, ...] = LEVELS, repeats: int = 3, tuning_epochs: int = 100) -> Sparsity:
    """Train dense, prune to each of `levels` by `prune_to`, fine-tune; `choose_one_standard_error` picks (paper B.9.2).

    Fine-tuning is a few epochs, at most `tuning_epochs`, for each of levels * repeats models (as the paper describes it).
    """
    check_least("tuning_epochs", tuning_epochs, 1)
    return Sparsity(
        "posthoc",
        {"levels": tuple(levels), "repeats": repeats, "tuning_epochs": tuning_epochs},
        levels=tuple(levels),
        repeats=repeats,
        tuning_epochs=tuning_epochs,
        refuse=refuse_skips,
    )


@SPARSITIES.register("none")
def none() -> Sparsity:
    """Leave the field as it is."""
    return Sparsity("none")


def _schedule(schedule: GeometricSchedule | dict[str, Any] | None) -> GeometricSchedule:
    if isinstance(schedule, dict):
        return GeometricSchedule(**schedule)
    return GeometricSchedule() if schedule is None else schedule
