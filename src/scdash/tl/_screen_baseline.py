"""What a user would run on a screen instead of a mechanistic model, in the same slots."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scdash._core.errors import unknown
from scdash._core.logging import step
from scdash._core.names import check_key
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG
from scdash._core.seeds import seed_of
from scdash._data import dense32
from scdash.models import PerturbODE
from scdash.screens import baselines
from scdash.screens.fits import ScreenFit
from scdash.screens.held_out import intervention_effects, mean_of_others
from scdash.screens.inputs import ScreenInputs, ScreenRequest, labels_like_fit, read_screen
from scdash.screens.notears import notears, notears_low_rank, screen_moments, standardised_sd, to_acyclic
from scdash.screens.statistics import Floats, RegimeStatistics
from scdash.screens.steady_states import Equilibrium
from scdash.screens.store import store_screen
from scdash.tl._perturbode import screen_statistics

if TYPE_CHECKING:
    from anndata import AnnData

OF_MODEL = ("separator", "kind", "kind_key", "guide_key", "symbols", "values")
"""Arguments that are settings of `scdash.models.PerturbODE`."""
Baseline = Callable[[ScreenInputs, RegimeStatistics, np.random.Generator, dict[str, Any]], ScreenFit]


@guarded
def screen_baseline(
    adata: "AnnData",
    method: Literal[
        "ridge",
        "lasso",
        "differential_expression",
        "correlation",
        "forest",
        "notears",
        "notears_low_rank",
        "no_change",
        "mean_perturbation",
    ] = "ridge",
    *,
    perturbation_key: str | None = None,
    control: str | Sequence[str] | None = None,
    separator: str | None = None,
    kind: str | Mapping[str, str] | None = None,
    kind_key: str | None = None,
    batch_key: str | None = None,
    guide_key: str | None = None,
    symbols: str | None = None,
    values: Literal["log expression", "log fold change"] | None = None,
    options: Mapping[str, Any] | None = None,
    n_folds: int = 5,
    hold_out: Sequence[str] = (),
    min_cells: int | None = None,
    unknown_targets: Literal["error", "drop", "keep"] = "error",
    layer: str | None = None,
    mask_var: Any = None,
    allow_scaled: bool = False,
    key: str = "dynamics",
    key_added: str | None = None,
    rng: RNG = 0,
    copy: bool = False,
) -> "AnnData | None":
    """Run a baseline on a perturbation screen and store it as a fit, to be read, predicted from and compared alike.

    Parameters
    ----------
    adata
        As for `scdash.tl.fit_perturbode`.
    method
        "ridge": every gene on all others, over the cells of the perturbations that leave it alone; the bar. "lasso": the
        same with an L1 penalty, by equilibrium matching with linear features. "differential_expression": mean absolute
        z of a gene where the regulator is perturbed. "correlation". "forest": random-forest importances as GENIE3.
        "notears": an acyclic linear causal model (Zheng et al. 2018); "notears_low_rank" (Fang et al. 2023). Both
        predict, and `scdash.tl.predict_perturbations(..., n_cells=)` samples cells from them. "no_change" and
        "mean_perturbation" predict and have no network.
    perturbation_key, control, separator, kind, kind_key, batch_key, guide_key, symbols, values, layer
        As for `scdash.tl.fit_perturbode` and `scdash.models.PerturbODE`; None: those of the fit of a screen under `key`, if there is one, which the log
        says (layer="X": X all the same), else the defaults of that function.
    n_folds, hold_out, min_cells, unknown_targets, mask_var, allow_scaled, rng, copy
        As for `scdash.tl.fit_perturbode`.
    key
        Name of a fit whose labels and layer are read by default.
    options
        Of the method: `alpha` (ridge); `trust`, `nonnegative` (lasso); `n_trees`, `max_cells`, `n_jobs` (forest);
        `lam` (notears); `rank`, `ridge` (notears_low_rank).
    key_added
        Name of the result; None: the name of the method.

    Returns
    -------
    AnnData or None
        None, or the copy. Written: the slots of `scdash.tl.fit_perturbode`, without a velocity: there is no ODE. Read them
        with `scdash.get.grn(adata, key=...)`.

    Raises
    ------
    ValueError, KeyError
        As for `scdash.tl.fit_perturbode`; an unknown option lists the known ones.

    See Also
    --------
    scdash.tl.fit_perturbode : Learn a regulatory network from a perturbation screen with the steady states or the ODE of PerturbODE.
    scdash.get.grn : Return the network as a table of edges, strongest evidence first.

    Examples
    --------
    >>> scdash.tl.screen_baseline(adata, "ridge")  # doctest: +SKIP
    >>> scdash.get.grn(adata, key="ridge").head()  # doctest: +SKIP
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    known, run = METHODS[method]
    for name in options or {}:
        if name not in known:
            raise unknown(f"option of {method}", name, known)
    name = method if key_added is None else key_added
    check_key(name)
    seed = seed_of(rng)
    labels = {"perturbation_key": perturbation_key, "control": control, "separator": separator, "kind": kind}
    labels |= {"kind_key": kind_key, "batch_key": batch_key, "guide_key": guide_key, "symbols": symbols}
    found = labels_like_fit(adata, key, labels | {"values": values, "layer": layer})
    own = {name: found.pop(name) for name in OF_MODEL if name in found}
    screen = PerturbODE(min_cells=min_cells, unknown_targets=unknown_targets, hold_out=hold_out, **own)
    request = ScreenRequest(**found, mask_var=mask_var, allow_scaled=allow_scaled, model=screen)
    adata = adata.copy() if copy else adata
    with step(f"running a baseline on a screen ({method})") as added:
        inputs = read_screen(adata, request)
        generator = np.random.default_rng(seed)
        stats = screen_statistics(inputs, n_folds, generator, slope=None)
        fit = run(inputs, stats, generator, dict(options or {}))
        asked = request.params(inputs) | {"sparsity": "none", "n_folds": n_folds, "rng": seed}
        added += store_screen(adata, inputs, stats, fit, asked | {"model": method, "field": "none"}, name)
    return adata if copy else None


def _record(
    way: str,
    score: Floats,
    report: str,
    *,
    model: Equilibrium | None = None,
    options: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
) -> ScreenFit:
    """Return a baseline as a fit; score (regulator, target)."""
    d = len(score)
    equations = Equilibrium(np.zeros((d, d)), np.zeros(d), np.full(d, np.nan), None) if model is None else model
    return ScreenFit(
        config={},
        params={"A": sp.csr_matrix(equations.weights.T.astype(np.float32))},
        chosen={"fit": way, "options": dict(options)},
        weights=score if model is None else equations.weights,
        score=score,
        frequency=np.full_like(score, np.nan),
        history=pd.DataFrame(),
        metrics={},
        controls=pd.DataFrame({"predictor": np.array([], dtype=str), "held_out_r2": np.array([], dtype=float)}),
        model={"constant": equations.constant, "effect": equations.effect, "untried": equations.untried}
        | dict(extra or {}),
        report=report,
    )


def _ridge(
    inputs: ScreenInputs, stats: RegimeStatistics, rng: np.random.Generator, options: dict[str, Any]
) -> ScreenFit:
    score, model = baselines.masked_ridge(dense32(inputs.values), inputs.screen, **options)
    return _record("linear", score, "Masked ridge.", model=model, options=options)


def _lasso(
    inputs: ScreenInputs, stats: RegimeStatistics, rng: np.random.Generator, options: dict[str, Any]
) -> ScreenFit:
    fit = baselines.masked_lasso(stats, **options)
    return _record("linear", fit.score, f"Masked lasso, lambda {fit.lam:.3g}.", model=fit.model, options=options)


def _de(inputs: ScreenInputs, stats: RegimeStatistics, rng: np.random.Generator, options: dict[str, Any]) -> ScreenFit:
    return _record("score", baselines.differential_expression(stats), "Mean |z| where perturbed.", options=options)


def _correlation(
    inputs: ScreenInputs, stats: RegimeStatistics, rng: np.random.Generator, options: dict[str, Any]
) -> ScreenFit:
    score = baselines.correlation(dense32(inputs.values), inputs.screen)
    return _record("score", score, "Correlation over all cells: it has no direction.", options=options)


def _forest(
    inputs: ScreenInputs, stats: RegimeStatistics, rng: np.random.Generator, options: dict[str, Any]
) -> ScreenFit:
    score = baselines.forest(dense32(inputs.values), inputs.screen, rng=rng, **options)
    return _record("score", score, "Random-forest importances: they have no sign.", options=options)


def _causal(stats: RegimeStatistics, standardised: Floats, name: str, options: dict[str, Any]) -> ScreenFit:
    """Return an acyclic linear model in the units of the data, with its noise."""
    sd = standardised_sd(stats)
    raw = to_acyclic(standardised) * sd[None, :] / sd[:, None]
    model = baselines.linear_effects(stats, raw)
    noise = baselines.noise_sd(stats, raw)
    return _record("linear", standardised, f"{name}, acyclic.", model=model, options=options, extra={"noise_sd": noise})


def _notears(
    inputs: ScreenInputs, stats: RegimeStatistics, rng: np.random.Generator, options: dict[str, Any]
) -> ScreenFit:
    return _causal(stats, notears(*screen_moments(stats), **options), "NO-TEARS", options)


def _notears_low_rank(
    inputs: ScreenInputs, stats: RegimeStatistics, rng: np.random.Generator, options: dict[str, Any]
) -> ScreenFit:
    found = notears_low_rank(*screen_moments(stats), **({"rank": min(10, len(stats.centre))} | options), rng=rng)
    return _causal(stats, found, "NO-TEARS-LR", options)


def _constant(change: Floats, stats: RegimeStatistics, report: str) -> ScreenFit:
    d = len(change)
    effect = intervention_effects(stats, stats.counts > 0, np.zeros((d, d)), change)
    model = Equilibrium(np.zeros((d, d)), change, effect, None)
    return _record("constant", np.zeros((d, d)), report, model=model, options={})


def _no_change(
    inputs: ScreenInputs, stats: RegimeStatistics, rng: np.random.Generator, options: dict[str, Any]
) -> ScreenFit:
    return _constant(np.zeros(len(stats.centre)), stats, "Only targets change.")


def _mean(
    inputs: ScreenInputs, stats: RegimeStatistics, rng: np.random.Generator, options: dict[str, Any]
) -> ScreenFit:
    change = mean_of_others(stats, np.ones(stats.screen.n_regimes, bool))
    return _constant(change, stats, "Every perturbation has the mean effect of all.")


METHODS: dict[str, tuple[tuple[str, ...], Baseline]] = {
    "ridge": (("alpha",), _ridge),
    "lasso": (("trust", "nonnegative"), _lasso),
    "differential_expression": ((), _de),
    "correlation": ((), _correlation),
    "forest": (("n_trees", "max_cells", "n_jobs"), _forest),
    "notears": (("lam",), _notears),
    "notears_low_rank": (("rank", "ridge"), _notears_low_rank),
    "no_change": ((), _no_change),
    "mean_perturbation": ((), _mean),
}
