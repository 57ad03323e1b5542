"""PerturbODE on AnnData: reads a screen, fits, writes."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np
import pandas as pd

from scdash._core.names import check_key
from scdash._core.process_state import guarded
from scdash._errors import unknown, unused
from scdash._logging import logger, step
from scdash._random import RNG
from scdash.fitting._screen_sparsity import ScreenSparsity
from scdash.matching._regimes import RegimeStatistics, assign_folds, regime_statistics
from scdash.sparsity import GeometricSchedule, Sparsity
from scdash.tl._screen_fits import ScreenOptions, equilibrium_fit, transport_config, transport_fit
from scdash.tl._screen_inputs import ScreenInputs, ScreenRequest, read_screen
from scdash.tl._screen_store import store_screen
from scdash.tl._seed import seed_of
from scdash.tl._velocity_layer import check_switch

if TYPE_CHECKING:
    from anndata import AnnData

WAYS = {"equilibrium": equilibrium_fit, "transport": transport_fit}


class ScreenArguments(TypedDict, total=False):
    """Arguments of `fit_perturbode` that models of time do not have."""

    separator: str
    kind: str | Mapping[str, str]
    fit: Literal["equilibrium", "transport"]
    prior_weight: float
    fine_tune: int
    n_folds: int
    n_subsamples: int
    hold_out: Sequence[str]
    min_cells: int
    unknown_targets: Literal["error", "drop"]


@guarded
def fit_perturbode(
    adata: "AnnData",
    *,
    perturbation_key: str = "perturbation",
    control: str | Sequence[str] = "control",
    separator: str = "+",
    kind: str | Mapping[str, str] = "overexpression",
    fit: Literal["equilibrium", "transport"] = "equilibrium",
    sparsity: str | Sparsity = "dash",
    prior: Any = None,
    prior_weight: float | None = None,
    lambdas: float | tuple[float, float] | None = None,
    scale: Literal["matched", "paper"] = "matched",
    missing: Literal["mean", "zero"] = "mean",
    schedule: GeometricSchedule | None = None,
    sparsity_options: Mapping[str, Any] | None = None,
    regulators: Any = None,
    fine_tune: int = 0,
    training: Mapping[str, Any] | None = None,
    n_folds: int | None = None,
    n_subsamples: int = 0,
    hold_out: Sequence[str] = (),
    min_cells: int = 10,
    unknown_targets: Literal["error", "drop"] = "error",
    layer: str | None = None,
    mask_var: Any = None,
    allow_scaled: bool = False,
    velocity_layer: bool | None = None,
    key_added: str = "dynamics",
    progress: bool | None = None,
    rng: RNG = 0,
    copy: bool = False,
) -> "AnnData | None":
    r"""Learn a regulatory network from a perturbation screen with the steady states or the ODE of PerturbODE.

    .. math:: dx/dt = M_r [A\, \sigma(\alpha (B x - \beta)) + b] + u_r - w x

    (Lin et al., plus a bias). With `fit="equilibrium"` the steady states are matched by sparse regression, gene by
    gene, over the regimes that leave the gene alone, in seconds; every setting is chosen on held-out regimes. With
    `fit="transport"` control cells are carried through the ODE onto each regime's cells, as in the paper; this is for
    trajectories and as reproduction: it has not found edges as well in simulations.

    Parameters
    ----------
    adata
        Cells by genes, log-normalised.
    perturbation_key
        `obs` column of labels: a control label, `GENE`, or `GENE1+GENE2`. Cells without a label (missing, or
        an empty text) take no part and are counted in the log.
    control
        Label(s) of unperturbed cells.
    separator
        Between the genes of a combined perturbation.
    kind
        `"overexpression"` (perfect), `"shift"` (imperfect over-expression), `"knockout"`, `"knockdown"`, or a mapping
        from label or gene to one of these.
    fit
        See above.
    sparsity
        What prunes the network while an ODE is trained (`fit="transport"` or `fine_tune`): "dash" prunes both matrices
        (A alone, if gene-wise) by weights and prior; without a prior it has nothing to add and the L1 penalty alone
        acts. Or any other method of `scdash.tl.fit_dynamics`, e.g. "imp" (magnitude), "none".
    prior
        Edges believed before: DataFrame with `source`, `target`, or a `varp` key. Matching penalises them less, by the
        factor `prior_weight`; DASH scores weights by them.
    prior_weight
        See `prior`; 1 gives matching no prior. None: 5. For `fit="equilibrium"` with a prior.
    lambdas, scale, missing, schedule, sparsity_options
        Of DASH, as in `scdash.tl.fit_dynamics`; an epoch of the schedule is 100 steps of transport, 25 of fine-tuning.
    regulators
        Genes that may regulate: a `var` column of flags or a list of names, of which those that are not in the data are
        left out and counted in the log; None: all.
    fine_tune
        Steps (100 to 300) by which the matched network is trained on as an ODE; kept only if that lowers the error of
        held-out regimes by more than two standard errors. 0: not tried. It rarely changes the network for the better.
    training
        Settings of `fit="transport"`, e.g. `{"loss": "w2", "steps": 2000, "n_modules": 50, "solver": "dopri5",
        "duration": 25, "learn_strength": True, "knockdown": 0.7, "diffuse": 0.2, "l1": 1e-3}`.
    n_folds
        Groups of regimes held out in turn; None: 5. For `fit="equilibrium"`.
    n_subsamples
        Random halves of the regimes on which the fit is repeated for `selection_frequency`; 0: none (NaN). See
        `scdash.tl.stability` for bootstraps of cells.
    hold_out
        Labels of regimes that take no part in fitting and are scored afterwards.
    min_cells
        Regimes with fewer cells are left out, with a warning.
    unknown_targets
        What to do with targets that are no genes of `adata`: an error naming them, or their cells are dropped.
    layer, mask_var, allow_scaled, velocity_layer, key_added, progress, copy
        As in `scdash.tl.fit_dynamics`; targets of perturbations are always modelled.
    rng
        Seed or numpy Generator (folds, subsamples, training).

    Returns
    -------
    None, or the copy. Written: `varp[f"{key_added}_grn"]` (CSR float32, row regulates column, signed),
    `varp[f"{key_added}_sensitivity"]` (direct effect on the column's steady state, per unit of the row, at the control
    mean), `varp[f"{key_added}_total_effect"]` (simulated change of the column when the row alone is perturbed),
    `uns[key_added]` (params, genes, weights, edges, history, metrics, controls, prior, series, screen, report, and
    `held_out`, `fine_tuning` if asked for), `layers[f"{key_added}_velocity"]` (float32, without intervention;
    sparse where some genes are not modelled; by default none above 200 million cells x modelled genes), `var[f"{key_added}_genes"]`.

    Raises
    ------
    ValueError, KeyError, TypeError
        If an argument does not fit the data; the message names it and what to do. `adata` is unchanged then.

    Examples
    --------
    >>> import scanpy as sc
    >>> adata = scdash.simulate.sergio(genes=12, n_regimes=8, n_targets=1, cells_per_regime=25, rng=0)
    >>> sc.pp.log1p(adata)
    >>> scdash.tl.fit_dynamics(adata, model="perturbode", perturbation_key="perturbation")
    """
    if isinstance(lambdas, str):
        raise ValueError(f"lambdas={lambdas!r}: give numbers; lambdas='cv' is for models of time.")
    _refuse_unused(fit, prior, prior_weight, n_folds)
    prior_weight, n_folds = 5.0 if prior_weight is None else prior_weight, 5 if n_folds is None else n_folds
    request = ScreenRequest(
        perturbation_key, control, separator, kind, layer, mask_var, prior, regulators, min_cells, unknown_targets,
        hold_out, allow_scaled,
    )  # fmt: skip
    pruning = ScreenSparsity(sparsity, lambdas, scale, missing, schedule, dict(sparsity_options or {}))
    options = ScreenOptions(pruning, prior_weight, int(fine_tune), n_subsamples, dict(training or {}), progress)
    _check(fit, options, n_folds)
    check_key(key_added)
    check_switch(velocity_layer)
    seed = seed_of(rng)
    adata = adata.copy() if copy else adata
    with step(f"fitting dynamics (perturbode, {fit})") as added:
        inputs = read_screen(adata, request)
        generator = np.random.default_rng(seed)
        stats = screen_statistics(inputs, n_folds, generator, products=fit != "transport")
        found = WAYS[fit](inputs, stats, options, generator)
        asked = request.params() | {
            "fit": fit,
            "sparsity": pruning.name,
            "pruning": pruning.config(),
            "n_folds": n_folds,
            "rng": seed,
        }
        added += store_screen(adata, inputs, stats, found, asked, key_added, velocity_layer=velocity_layer)
    return adata if copy else None


def _refuse_unused(fit: str, prior: Any, prior_weight: float | None, n_folds: int | None) -> None:
    """Raise for settings of the regression that would have no effect."""
    if prior_weight is not None and (prior is None or fit == "transport"):
        why = "there is no prior" if prior is None else "it is for fit='equilibrium'"
        raise unused("prior_weight", why)
    if n_folds is not None and fit == "transport":
        raise unused("n_folds", "fit='transport' holds nothing out")


def _check(fit: str, options: ScreenOptions, n_folds: int) -> None:
    """Raise for settings that do not go together, before anything is read."""
    if fit not in WAYS:
        raise unknown("fit", fit, WAYS)
    if options.prior_weight < 1:
        raise ValueError(f"prior_weight must be at least 1, found {options.prior_weight!r}.")
    if n_folds < 2 or options.n_subsamples < 0 or options.fine_tune < 0:
        raise ValueError(
            f"n_folds must be at least 2, n_subsamples and fine_tune at least 0, found {n_folds!r}, "
            f"{options.n_subsamples!r} and {options.fine_tune!r}."
        )
    if fit == "transport":
        transport_config(options.training)
        if options.fine_tune or options.n_subsamples:
            raise ValueError(
                "fine_tune and n_subsamples are for fit='equilibrium'; see scdash.tl.stability for transport."
            )
        return
    if options.training:
        raise ValueError(f"training={dict(options.training)!r} is for fit='transport'.")
    sparsity = options.sparsity
    if sparsity != ScreenSparsity() and not options.fine_tune:
        raise ValueError(
            "sparsity, lambdas, scale, missing, schedule and sparsity_options prune while an ODE trains: pass "
            "fine_tune=200 or fit='transport'. Matching alone is made sparse by its L1 penalty."
        )


def screen_statistics(
    inputs: ScreenInputs, n_folds: int, rng: np.random.Generator, *, products: bool = True
) -> RegimeStatistics:
    """Return the statistics of a screen with its regimes dealt into folds; genes that never vary are warned of."""
    n_folds = min(n_folds, inputs.screen.n_regimes - 1)
    fold = assign_folds(inputs.screen.n_regimes, n_folds if n_folds > 1 else 1, rng)
    stats = regime_statistics(inputs.cells, inputs.screen, fold, products=products)
    flat = (stats.within_sd <= 0) & (np.ptp(stats.y, axis=0) <= 0)
    if flat.any():
        shown = ", ".join(str(g) for g in pd.Index(inputs.values.genes)[flat][:5])
        logger.warning("%d gene(s) never vary and get no edges: %s", flat.sum(), shown)
    return stats


def fit_screen(caller: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Fit a screen with the arguments `given` to `caller` (fit_dynamics); what would go unused is refused."""
    adata, screen = given.pop("adata"), given.pop("screen")
    del given["model"]
    known, defaults = signature(fit_perturbode).parameters, signature(caller).parameters
    unused = [name for name, value in given.items() if name not in known and not _same(value, defaults[name].default)]
    if unused:
        raise ValueError(
            f"{', '.join(unused)}: not for model='perturbode'. Settings of its training go into training=, e.g. "
            "training={'steps': 4000, 'n_modules': 50, 'solver': 'dopri5'}; see scdash.tl.fit_perturbode."
        )
    # None stands for a default that depends on the model
    shared = {name: value for name, value in given.items() if name in known}
    shared = {name: known[name].default if value is None else value for name, value in shared.items()}
    return fit_perturbode(adata, **shared, **screen)


def _same(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, str | int | float) and bool(value == default))


def refuse_screen_arguments(model: str, screen: Mapping[str, Any]) -> None:
    """Raise where arguments of a screen, or unknown ones, were given to a model of time."""
    for name in screen:
        if name not in ScreenArguments.__annotations__:
            raise TypeError(f"fit_dynamics() got an unexpected keyword argument {name!r}.")
        raise TypeError(f"{name} is for model='perturbode'; model={model!r} learns from time.")
