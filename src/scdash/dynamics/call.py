"""A call of `fit_dynamics` as a value, which the functions around the fit share with it, and the fit that it asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from anndata import AnnData

from scdash._core.errors import check_arguments
from scdash._core.fit_settings import DATA_KEYS, keys_like_fit
from scdash._core.keys import SCREENS_CHOOSE
from scdash._core.random_streams import RNG, seed_of
from scdash._core.types import Genes, PriorLike
from scdash._data import check_adata
from scdash._data.time_series.observations import Cells, Observations, Samples, kind_of
from scdash.dynamics.arguments import Asked, settle, warn_unused
from scdash.dynamics.fit import fit_series
from scdash.dynamics.inputs import DynamicsInputs, read_inputs
from scdash.dynamics.lambda_choice import choose_lambdas
from scdash.dynamics.options import FitOptions
from scdash.dynamics.result import DynamicsFit
from scdash.dynamics.whole_trajectories.settings import suits_whole_trajectories
from scdash.fields import VectorField
from scdash.models import Model, PerturbODE
from scdash.models.stored_settings import stored_arguments, stored_observations
from scdash.networks.velocity_layer import check_switch
from scdash.regression import Regression
from scdash.resampling.validation import Validation
from scdash.sparsity import DASH, Method, Sparsity
from scdash.training import Training

NOT_STORED = ("prior", "mask_var", "regulators", "rng", "n_jobs", "progress", "perturbation_key", "control", *DATA_KEYS)


@dataclass(frozen=True)
class FitCall:
    """The arguments of `scdash.tl.fit_dynamics` that say what is fitted to which data; see there."""

    prior: PriorLike | None = None
    model: str | Model | VectorField = "phoenix"
    sparsity: str | Method | Sparsity = "dash"
    start: str | Regression = "auto"
    training: Training | None = None
    validation: Validation | None = None
    time_key: str | None = None
    trajectory_key: str | None = None
    batch_key: str | None = None
    split_key: str | None = None
    perturbation_key: str | None = None
    control: str | Sequence[str] | bool = "control"
    layer: str | None = None
    mask_var: Genes | None = None
    regulators: Genes | None = None
    observations: Observations = "auto"
    velocity: str | tuple[str, str] | None = None
    allow_scaled: bool = False
    write_velocity: bool | None = None
    n_models: int = 1
    rng: RNG = 0
    device: str = "auto"
    n_jobs: int | None = None
    progress: bool | None = None

    @classmethod
    def of(cls, function: str, given: Mapping[str, Any], refused: Mapping[str, str] | None = None) -> Self:
        """Return the call behind the keyword arguments of `function`; unknown ones are errors, as are the `refused`."""
        for name, why in (refused or {}).items():
            if name in given:
                raise ValueError(f"{name} is not for {function}: {why}")
        check_arguments(function, given, [one.name for one in fields(cls)])
        return cls(**given)

    def settle(self) -> Asked:
        """Return what the call asks for in values; arguments that go unused are refused."""
        asked = settle(self.model, self.sparsity, self.start, self.training, self.validation)
        name = asked.model_name
        if isinstance(asked.model, PerturbODE):
            raise ValueError(f"model='perturbode' is for perturbation screens. {SCREENS_CHOOSE}")
        if self.perturbation_key is not None:
            raise ValueError(
                f"perturbation_key is for model='perturbode'; model={name!r} learns from time. {SCREENS_CHOOSE}"
            )
        if self.control != "control":
            meant = " Did you mean validation=Validation(null_models=False)?" if isinstance(self.control, bool) else ""
            raise ValueError(
                f"control={self.control!r} is for model='perturbode'; model={name!r} has no control cells.{meant}"
            )
        check_switch(self.write_velocity)
        return asked

    def seed(self) -> int:
        """Return the seed; a Generator is drawn from once for every time that this is asked."""
        return seed_of(self.rng)

    def options(self, asked: Asked, seed: int, **changes: Any) -> FitOptions:
        """Return the options of the fit, as far as they are known before the data are read: see `FitOptions.cells`."""
        return FitOptions(
            **asked.options()
            | {"n_models": self.n_models, "seed": seed, "device": self.device, "progress": self.progress}
            | changes
        )

    def read(self, adata: AnnData, asked: Asked, options: FitOptions, *, like: str | None = None) -> DynamicsInputs:
        """Return the data of the call; columns and layer that are not given are those of the fit under `like`."""
        check_adata(adata)
        keys = {name: getattr(self, name) for name in DATA_KEYS}
        seen = self.observations
        if like is not None and seen == "auto":
            seen = stored_observations(adata, like) or seen
        cells = seen if isinstance(seen, Cells) else Cells()
        by_folds = like is None and suits_whole_trajectories(options)
        return read_inputs(
            adata,
            **(keys if like is None else keys_like_fit(adata, like, keys)),
            mask_var=self.mask_var,
            observations=kind_of(seen),
            samples=seen if isinstance(seen, Samples) else None,
            prior=self.prior,
            coregulation=asked.sparsity.coregulation if isinstance(asked.sparsity, DASH) else None,
            regulators=self.regulators,
            n_bins=cells.n_bins,
            align=cells.align,
            couplings=cells.couplings,
            pseudotime_key=cells.pseudotime_key,
            velocity=self.velocity,
            seed=options.seed,
            shuffled=by_folds and bool(options.null_models),
            allow_scaled=self.allow_scaled,
            hold_out=options.hold_out,
            by_folds=by_folds,
        )

    def stored(self) -> dict[str, str]:
        """Return the arguments as a fit stores them; data and genes are stored elsewhere."""
        names = [one.name for one in fields(self) if one.name not in NOT_STORED]
        defaults = {one.name: one.default for one in fields(self)}
        return stored_arguments({name: getattr(self, name) for name in names}, defaults)


@dataclass(frozen=True)
class FitOfCall:
    """A fit with the data and the options behind it."""

    fit: DynamicsFit
    inputs: DynamicsInputs
    options: FitOptions


def fit_of_call(adata: AnnData, call: FitCall, asked: Asked, seed: int) -> FitOfCall:
    """Return the fit that a call asks for; `adata` is read and not changed."""
    options = call.options(asked, seed)
    inputs = call.read(adata, asked, options)
    options = replace(options, cells=inputs.cells)
    warn_unused(options, asked)
    if asked.cross_validated:
        options = choose_lambdas(inputs.problem, options)
    return FitOfCall(fit_series(inputs.problem, options), inputs, options)
