"""The two ways to fit a screen."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from scdash import fields
from scdash._core.logging import logger
from scdash._core.network import Network
from scdash._data import loaded
from scdash.fields.perturbode import SLOWEST
from scdash.fields.vector_field import Params
from scdash.models import PerturbODE
from scdash.networks import pack
from scdash.screens.equilibrium.fit import fit_equilibrium
from scdash.screens.equilibrium.path import Penalties
from scdash.screens.equilibrium.stable import spectral_radius
from scdash.screens.equilibrium.steady_states import Equilibrium
from scdash.screens.equilibrium.subsamples import chosen_of, selections
from scdash.screens.evidence import Evidence, range_penalty, without_noise
from scdash.screens.forward import errors_of, forward_table
from scdash.screens.held_out import mean_of_others
from scdash.screens.inputs import ScreenInputs
from scdash.screens.report import error_lines, network_lines, next_line, settings_lines, verdict_line
from scdash.screens.statistics import Floats, PerturbationStatistics
from scdash.screens.tables import held_out_by_perturbation, held_perturbations
from scdash.screens.times.errors import timed_forward, timed_lines, timed_table
from scdash.screens.transport.fit import fit_transport
from scdash.screens.transport.pruning import MODULES, TRANSPORT, ScreenSparsity
from scdash.training.transport_config import TransportFit


@dataclass(frozen=True)
class ScreenOptions:
    """How a screen is fitted; see `scdash.tl.fit_perturbode`."""

    sparsity: ScreenSparsity = field(default_factory=ScreenSparsity)
    model: PerturbODE = field(default_factory=PerturbODE)
    progress: bool | None = None


@dataclass(frozen=True)
class ScreenFit:
    """A fitted screen, whichever way; matrices are (regulator, target), the regulators being `sources`."""

    config: dict[str, Any]  # of the field
    params: dict[str, Any]  # packed weights
    chosen: dict[str, Any]  # settings
    weights: Floats
    score: Floats
    frequency: Floats  # NaN where nothing was drawn
    history: pd.DataFrame
    metrics: dict[str, float]
    controls: pd.DataFrame
    model: dict[str, Any]  # what predictions need beside the weights
    report: list[str]  # lines, the verdict first
    next_step: str = ""  # the last line of the report
    evidence: Evidence | None = None  # of own perturbations, where the fit weighs it
    sources: NDArray[np.int64] | None = None  # positions of the regulators among the genes; None: all genes
    extra: dict[str, Any] = field(default_factory=dict)


def penalties(
    stats: PerturbationStatistics,
    prior: sp.csr_matrix | None,
    prior_weight: float,
    regulators: NDArray[np.int64] | None,
) -> Penalties:
    """Return the factors of lambda: smaller for edges of the prior, larger for sources that were hardly tested.

    The prior is (regulator, target) over all genes; `regulators` are the positions of genes that may regulate, None: all.
    """
    tested, allowed = range_penalty(stats), None
    if regulators is not None:
        allowed = np.repeat(np.isin(stats.sources, regulators)[:, None], len(stats.centre), axis=1)
    odds = None
    if prior is not None:
        odds = np.where(prior[stats.sources].toarray() != 0, prior_weight, 1.0)
    if odds is None and (tested == 1).all():
        return Penalties(None, allowed)
    factor = np.broadcast_to(tested[:, None], (len(tested), len(stats.centre))) / (1.0 if odds is None else odds)
    return Penalties(factor, allowed, odds)


def equilibrium_fit(
    inputs: ScreenInputs, stats: PerturbationStatistics, options: ScreenOptions, rng: np.random.Generator
) -> ScreenFit:
    """Fit the steady states by regression."""
    stats = without_noise(stats)
    given = penalties(stats, inputs.prior, options.model.weight, inputs.regulators)
    fit = fit_equilibrium(stats, given, progress=options.progress)
    frequency = np.full_like(fit.score, np.nan)
    if options.model.n_subsamples:
        frequency = selections(stats, chosen_of(fit), options.model.n_subsamples, rng, given).frequency
    errors = None if fit.held_out is None else errors_of(fit.held_out, stats)
    compared = forward_table(fit.held_out, stats)
    over_time = timed_forward(fit.held_out, stats)
    by_time = timed_table(over_time, stats)
    slope = 1.0 if fit.model.slope is None else fit.model.slope
    weights = fit.model.weights * slope
    s = fit.settings
    return ScreenFit(
        config=fields.PerturbODE(len(stats.centre)).config(),
        params=pack(module_weights(fit.model, stats.centre)),
        chosen={"covariation": s.covariation, "activating": s.nonnegative, "hubs": s.hubs, "mcp": s.mcp, "lam": fit.lam}
        | {"lambdas": list(s.lambdas), "prior_weight": options.model.weight}
        | {"believed": fit.believed, "explained": fit.explained},
        weights=weights,
        score=fit.score,
        frequency=frequency,
        history=fit.cv,
        metrics={
            "held_out_r2": float("nan") if errors is None else errors.r2,
            "spectral_radius": spectral_radius(fit.model.weights[:, stats.sources], fit.model.slope),
        },
        controls=compared,
        model={
            "constant": fit.model.constant,
            "effect": fit.model.effect,
            "slope": slope,
            "untried": fit.model.untried,
            "mean_change": mean_of_others(stats, np.ones(stats.screen.n_perturbations, bool)),
        },
        report=[
            verdict_line(errors),
            *error_lines(compared, errors),
            *network_lines(fit, stats),
            *settings_lines(fit),
            *([] if stats.timed is None else timed_lines(by_time, stats.timed)),
        ],
        next_step=next_line(compared, errors),
        extra={"forward": held_out_by_perturbation(fit.held_out, stats)}
        | ({} if over_time is None else {"errors_by_time": by_time, "network_share": over_time.share}),
        evidence=fit.evidence,
        sources=stats.sources,
    )


def module_weights(model: Equilibrium, centre: Floats) -> Params:
    """Return the weights of a gene-wise `PerturbODE` with w = 1 whose steady states are those of the equations.

    sigmoid - 1/2 is the feature of the equations, so half of each row of A goes to the bias.
    """
    slope = 1.0 if model.slope is None else model.slope
    network = Network.from_outgoing(model.weights.astype(np.float32), model.sources)
    a = torch.as_tensor(network.incoming.toarray())[None]
    middle = torch.as_tensor(centre, dtype=torch.float32)
    constant = torch.as_tensor(model.constant[None], dtype=torch.float32)
    one = float(np.log(np.expm1(1.0 - SLOWEST)))  # softplus(one) + SLOWEST = 1
    return {
        "A": a,
        "raw_alpha": torch.full(a.shape[:2], float(np.log(np.expm1(slope)))),
        "raw_beta": middle.expand(a.shape[:2]).clone(),
        "raw_w": torch.full(a.shape[:2], one),
        "bias": middle + constant - 0.5 * a.sum(2),
    }


def transport_fit(
    inputs: ScreenInputs, stats: PerturbationStatistics, options: ScreenOptions, rng: np.random.Generator
) -> ScreenFit:
    """Carry control cells through the ODE onto the perturbations' cells, as the paper trains."""
    config = options.model.transport
    trained = train_transport(loaded(inputs.values), inputs, options, rng)
    weights = transport_network(trained)
    with torch.no_grad():
        shift, rho = trained.strengths.shift.numpy(), trained.strengths.rho.numpy()
    last = trained.history.iloc[-1]
    return ScreenFit(
        config=trained.field.config(),
        params=pack(trained.params),
        chosen=asdict(config),
        weights=weights,
        score=in_sd_units(weights, stats),
        frequency=np.full_like(weights, np.nan),
        history=trained.history,
        metrics={"validation_loss": float(last["validation_loss"]), "epochs": float(last["epoch"])}
        | {"seconds_per_epoch": trained.seconds_per_epoch},
        controls=pd.DataFrame({"predictor": np.array([], dtype=str), "held_out_r2": np.array([], dtype=float)}),
        model={"shift": shift, "rho": rho},
        report=[*_untested(inputs), f"Trained by transport (loss {config.loss!r}); edges are scored by G in SD units."],
    )


def _untested(inputs: ScreenInputs) -> list[str]:
    """Say that training by transport holds nothing out by itself; nothing where perturbations were held out by name."""
    if len(held_perturbations(inputs)):
        return []
    return [
        "Verdict: not tested whether the network predicts unseen perturbations, because none was held out: "
        "name some (hold_out=...)."
    ]


def train_transport(x: Any, inputs: ScreenInputs, options: ScreenOptions, rng: np.random.Generator) -> TransportFit:
    """Train on cells x (cells, genes) of the screen, see `scdash._data.loaded`."""
    config = options.model.transport
    helped = inputs.prior is not None and options.sparsity.name == "dash"
    if config.n_modules is None and helped:
        logger.info("    a prior says which genes act on which: every gene is a module of its own (n_modules=0)")
        config = replace(config, n_modules=0)
    elif config.n_modules and helped:
        logger.warning(
            "    n_modules=%d with DASH and a prior: a prior on genes does not say which module an edge passes through, and "
            "networks were better without modules (n_modules=0) in simulations",
            config.n_modules,
        )
    method, prior = options.sparsity.build(inputs.prior, TRANSPORT if config.n_modules == 0 else MODULES)
    return fit_transport(
        x,
        inputs.screen,
        config,
        rng=rng,
        sparsity=method,
        prior=prior,
        regulators=inputs.regulators,
        progress=options.progress,
    )


def transport_network(trained: TransportFit) -> Floats:
    """Return G (regulator, target)."""
    with torch.no_grad():
        incoming = trained.field.network(trained.params)[0].numpy()
    found: Floats = Network.from_incoming(incoming).outgoing.toarray().astype(float)
    return found


def in_sd_units(weights: Floats, stats: PerturbationStatistics) -> Floats:
    """Return weights (regulator, target) times SD of regulator over SD of target, without self edges."""
    sd = np.sqrt(stats.within_sd**2 + stats.y.var(axis=0))
    score: Floats = weights * sd[:, None] / np.where(sd > 0, sd, np.inf)[None, :]
    np.fill_diagonal(score, 0)
    return score
