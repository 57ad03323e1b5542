"""PerturbODE on AnnData: reads a screen, fits, writes."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from anndata import AnnData

from scdash._core.errors import unused
from scdash._core.labels import check_key
from scdash._core.logging import expect, logger, progress_bar, step, whole_call
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, seed_of
from scdash._core.types import Genes, PriorLike
from scdash._data import writable
from scdash.dynamics.call import FitCall
from scdash.dynamics.inputs import TIME_KEY
from scdash.models import PerturbODE, model_of
from scdash.networks.velocity_layer import check_switch
from scdash.screens.fits import ScreenOptions, equilibrium_fit, transport_fit
from scdash.screens.fold_statistics import fitted_statistics
from scdash.screens.inputs import ScreenRequest, read_screen
from scdash.screens.store import store_screen
from scdash.screens.transport.pruning import ScreenSparsity
from scdash.screens.work import COSTS, LATER, READING, WRITING
from scdash.sparsity import Method, Sparsity, sparsity_of

WAYS = {"equilibrium": equilibrium_fit, "transport": transport_fit}
OF_SCREENS = (
    "prior", "model", "sparsity", "perturbation_key", "control", "time_key", "batch_key", "layer", "mask_var", "regulators", "allow_scaled",
    "write_velocity", "rng", "progress",
)  # fmt: skip
"""Arguments of `fit_dynamics` that a fit of a screen has, too."""


@guarded
def fit_perturbode(
    adata: AnnData,
    prior: PriorLike | None = None,
    *,
    model: str | PerturbODE = "perturbode",
    sparsity: str | Method | Sparsity = "dash",
    perturbation_key: str = "perturbation",
    control: str | Sequence[str] = "control",
    time_key: str | None = None,
    batch_key: str | None = None,
    layer: str | None = None,
    mask_var: Genes | None = None,
    regulators: Genes | None = None,
    allow_scaled: bool = False,
    write_velocity: bool | None = None,
    rng: RNG = 0,
    key_added: str = "dynamics",
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Learn a regulatory network from a perturbation screen with the steady states or the ODE of PerturbODE.

    .. math:: dx/dt = M_r [A\, \sigma(\alpha (B x - \beta)) + b] + u_r - w x

    (Lin et al., plus a bias). With `PerturbODE(fit="equilibrium")` the steady states are matched by sparse regression, gene by
    gene, over the perturbations that leave the gene alone, in seconds; every setting is chosen on held-out perturbations. With
    `PerturbODE(fit="transport")` control cells are carried through the ODE onto each perturbation's cells, as in the paper; this is for
    trajectories and as reproduction: it has not found edges as well in simulations.

    Parameters
    ----------
    adata
        Cells by genes, log-normalised.
    prior
        Edges believed before: DataFrame with `source`, `target`, or a `varp` key. The regression penalises them less, by
        the factor `PerturbODE(prior_weight=...)`; DASH scores weights by them.
    model
        How the screen is read and fitted, `scdash.models.PerturbODE(fit=..., kind=..., hold_out=..., ...)`.
    sparsity
        What prunes the network while an ODE is trained (`PerturbODE(fit="transport")`): "dash" prunes both
        matrices (A alone, if gene-wise) by weights and prior; without a prior it has nothing to add and the L1 penalty
        alone acts. Or any other method of `scdash.tl.fit_dynamics`, e.g. "imp" (magnitude), "none". An epoch of its schedule
        is 100 steps.
    perturbation_key
        `obs` column of labels: a control label, `GENE`, or `GENE1+GENE2`; `GENE (knockout)` also names the kind. Cells without a label (missing, or
        an empty text) take no part and are counted in the log.
    control
        Label(s) of unperturbed cells.
    time_key
        `obs` column with the time at which each cell was sampled, for screens with several times: numbers, timedelta, or texts
        such as "D2" or "48h". Changes are measured from the control cells of the same time, of which every time needs at
        least 3. One network is fitted to all times: a perturbation has one response, which relaxes with time by a rate and an
        onset that all share and that the changes at all times make most likely, and the network explains these responses.
        Predictions then name `times` (`scdash.tl.predict_perturbations`). Cells without a time take no part. For
        `PerturbODE(fit="equilibrium")`. None: cells are taken as sampled at one time.
    batch_key
        `obs` column with the batch or replicate of each cell. Each batch is centred on its own control cells before anything
        else: the mean of its control cells is taken away from its cells, and the mean of all control cells added, while the
        cells are read. Every batch needs at least 3 control cells, and is
        warned of below `min_cells`; cells without a batch take no part. Batches are also the
        replicates of a perturbation where there are no guides (`PerturbODE(guide_key=)`). The velocity layer and predicted
        cells are those of the centred cells.
    regulators
        Genes that may regulate: a `var` column of flags or a list of names, of which those that are not in the data are
        left out and counted in the log; None: all.
    layer, mask_var, allow_scaled, write_velocity, key_added, progress, copy
        As in `scdash.tl.fit_dynamics`; targets of perturbations are always modelled.
    rng
        Seed or numpy Generator (folds, subsamples, training).

    Returns
    -------
    AnnData or None
        None, or the copy. Written: `varp[f"{key_added}_grn"]` (CSR float32, row regulates column, signed),
        `varp[f"{key_added}_sensitivity"]` (direct effect on the column's steady state, per unit of the row, at the control
        mean), `varp[f"{key_added}_total_effect"]` (simulated change of the column when the row alone is perturbed),
        `uns[key_added]` (params with the `arguments` of this call, genes, weights, edges, history, metrics, controls, prior, series, screen, report, and
        `held_out` if asked for), `layers[f"{key_added}_velocity"]` (float32, without intervention;
        sparse where some genes are not modelled; by default none above 200 million cells x modelled genes), `var[f"{key_added}_genes"]`.
        With `time_key`, `uns[key_added]` also has `errors_by_time` (errors at each time of perturbations left out, and of times
        predicted from those before them) and `screen["times"]` (`values`, `unit`, `rate` and `onset` of the relaxation, `part` of
        the response at each time, `change` and `cells` of every perturbation at each time).

    Raises
    ------
    ValueError, KeyError, TypeError
        If an argument does not fit the data; the message names it and what to do. `adata` is unchanged then.

    See Also
    --------
    scdash.tl.predict_perturbations : Predict the mean, or cells, of unseen single and combined perturbations from a fit of a screen.
    scdash.tl.screen_baseline : Run a baseline on a perturbation screen and store it as a fit, to be read, predicted from and compared alike.
    scdash.tl.modules : Name the regulators and targets of every module, and test them for gene sets.
    scdash.get.grn : Return the network as a table of edges, strongest evidence first.

    Examples
    --------
    >>> import scanpy as sc
    >>> adata = scdash.simulate.sergio(genes=12, n_perturbations=8, n_targets=1, cells_per_perturbation=25, rng=0)
    >>> sc.pp.log1p(adata)
    >>> scdash.tl.fit_dynamics(adata, model="perturbode", perturbation_key="perturbation")
    """
    model = _perturbode(model)
    _refuse_unused(model, prior, sparsity)
    request = ScreenRequest(
        perturbation_key, control, layer, mask_var, prior, regulators, allow_scaled, model, batch_key, time_key
    )
    pruning = ScreenSparsity.of(sparsity_of(sparsity))
    options = ScreenOptions(pruning, model, progress)
    check_key(key_added)
    check_switch(write_velocity)
    seed = seed_of(rng)
    given = FitCall(model=model, sparsity=sparsity, allow_scaled=allow_scaled, write_velocity=write_velocity)
    adata = writable(adata, copy=copy)
    with step(f"fitting dynamics (perturbode, {model.way})") as added, whole_call("fit", progress=progress):
        expect({READING: (1, COSTS[READING]), "the fit": (1, LATER)})
        with progress_bar(1, READING, progress=False) as bar:  # seen as a part of the whole call alone
            inputs = read_screen(adata, request)
            generator = np.random.default_rng(seed)
            stats = fitted_statistics(inputs, model.way, model.sources, model.folds, generator)
            bar.update()
        found = WAYS[model.way](inputs, stats, options, generator)
        asked = request.params(inputs) | {
            "fit": model.way,
            "sparsity": pruning.name,
            "pruning": pruning.config(),
            "n_folds": model.folds,
            "rng": seed,
            "arguments": given.stored(),
        }
        with progress_bar(1, WRITING, progress=False) as bar:
            added += store_screen(adata, inputs, stats, found, asked, key_added, write_velocity=write_velocity)
            bar.update()
    logger.info(adata.uns[key_added]["report"])
    return adata if copy else None


def _perturbode(model: Any) -> PerturbODE:
    """Return the model of a screen."""
    found = model_of(model)
    if not isinstance(found, PerturbODE):
        raise TypeError(f"model of a screen is a scdash.models.PerturbODE(...), found {model!r}.")
    return found


def _refuse_unused(model: PerturbODE, prior: PriorLike | None, sparsity: Any) -> None:
    """Raise for settings that would have no effect, before anything is read."""
    if model.prior_weight is not None and prior is None:
        raise unused("prior_weight", "there is no prior")
    method = sparsity_of(sparsity)
    for name in ("coregulation", "lambdas"):
        value = getattr(method, name, None)
        if value is not None and (name == "coregulation" or value == "cv"):
            raise ValueError(f"DASH({name}=...) of this kind is for models of time; give numbers or leave it out.")
    if model.way == "equilibrium" and ScreenSparsity.of(method) != ScreenSparsity():
        raise ValueError(
            "sparsity prunes while an ODE trains: pass model=PerturbODE(fit='transport'). The "
            "regression alone is made sparse by its L1 penalty."
        )


def fit_screen(adata: AnnData, call: FitCall, **others: Any) -> Any:
    """Fit a screen with the arguments of `fit_dynamics`; what would go unused is refused."""
    defaults = {one.name: one.default for one in fields(FitCall)} | {"time_key": TIME_KEY}
    given = {name: getattr(call, name) for name in defaults}
    unused = [name for name, value in given.items() if name not in OF_SCREENS and not _same(value, defaults[name])]
    if unused:
        raise ValueError(
            f"{', '.join(unused)}: not for model='perturbode'. Settings of its training are those of "
            "PerturbODE(fit=Transport(steps=4000, n_modules=50, ...)); see scdash.models.PerturbODE."
        )
    shared = {name: given[name] for name in OF_SCREENS if name != "perturbation_key" or given[name] is not None}
    if shared["time_key"] == TIME_KEY:  # the default of models of time
        del shared["time_key"]
    return fit_perturbode(adata, **shared, **others)


def _same(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, str | int | float) and bool(value == default))
