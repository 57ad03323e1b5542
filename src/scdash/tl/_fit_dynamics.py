"""`fit_dynamics`: reads AnnData, fits, writes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

from scdash._core.fit_settings import stored_call
from scdash._core.names import check_key
from scdash._core.process_state import guarded
from scdash._logging import logger, step
from scdash.fitting import FitOptions, choose_lambdas, fit_series, settle, warn_unused
from scdash.sparsity import GeometricSchedule, Sparsity
from scdash.tl._inputs import Observations, read_inputs
from scdash.tl._perturbode import ScreenArguments, fit_screen, refuse_screen_arguments
from scdash.tl._seed import seed_of
from scdash.tl._store import store
from scdash.tl._velocity_layer import check_switch


@guarded
def fit_dynamics(
    adata: Any,
    model: str = "phoenix",
    *,
    sparsity: str | Sparsity = "dash",
    encoder: Literal["genes", "modules"] | None = None,
    start: Literal["auto", "matching", "random"] = "auto",
    prior: Any = None,
    coregulation: Any = None,
    lambdas: float | tuple[float, ...] | Literal["cv"] | None = None,
    scale: Literal["matched", "paper"] | None = None,
    missing: Literal["mean", "zero"] | None = None,
    schedule: GeometricSchedule | None = None,
    regulators: Any = None,
    n_hidden: int | tuple[int, ...] | None = None,
    n_models: int = 1,
    time_key: str = "dpt_pseudotime",
    trajectory_key: str | None = None,
    batch_key: str | None = None,
    split_key: str | None = None,
    perturbation_key: str | None = None,
    control: str | Sequence[str] = "control",
    observations: Observations = "auto",
    n_bins: int | None = None,
    controls: bool | Literal["full"] = True,
    layer: str | None = None,
    mask_var: Any = None,
    allow_scaled: bool = False,
    velocity_layer: bool | None = None,
    key_added: str = "dynamics",
    max_epochs: int | None = None,
    tau: float = 1.0,
    solver: str = "rk4",
    training: dict[str, Any] | None = None,
    sparsity_options: dict[str, Any] | None = None,
    rng: Any = 0,
    device: str = "auto",
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
    copy: bool = False,
    **screen: Unpack[ScreenArguments],
) -> Any:
    r"""Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.

    By default a gene-wise PHOENIX: every gene relaxes at its own rate towards a production that is a sparse function
    of its regulators,

    .. math:: dx_i/dt = \mathrm{relu}(v_i)\,\bigl(b_i + \textstyle\sum_j U_{ij}\,\varphi_\Sigma(x_j) - x_i\bigr),

    fitted first by sparse regression between states (`start="matching"`, seconds), then trained on as a neural ODE and
    pruned by DASH (Hossain, Fischer et al. 2024). The network that is stored is that of this model: an entry is not 0
    exactly where the derivative of the target depends on the source.
    `encoder="modules", start="random", scale="paper", missing="zero"` is the paper's model and training.

    Time courses are trained on whole trajectories, from the edges that a weaker penalty has as well, and with products of a
    gene's strongest regulators. The number of epochs and the level of pruning are chosen by left-out trajectories (in up
    to five groups; by left-out parts of a single one), and so is the weight of the prior, by the regression; the level is
    the sparsest within one standard error. The model is fitted again to all states that are not for test, validation
    included: errors on validation states are then no held-out ones, those in `choices` are.

    Cells are trained on whole trajectories, from many starts to the end, and pruned in rounds. The number of epochs, the
    use of the prior (at all, or not) and the level of pruning (the sparsest within one standard error) are chosen by
    leaving out whole trajectories in turn where every lineage has several batches, and otherwise by predicting the other
    half of the cells; the model is then fitted again to all cells that are not for test. `uns[key_added]["params"]` holds
    what was `chosen` and every setting that was looked at (`choices`).

    Parameters
    ----------
    adata
        Cells that have been through `scdash.pp`, bins from `scdash.pp.trajectories`, or samples of a time course.
    model
        "phoenix", "mlp" (a plain neural ODE), "sonode" (second order), a field registered with
        `scdash.fields.FIELDS`, or "perturbode" for a perturbation screen, which is `scdash.tl.fit_perturbode`: it takes
        all of that function's arguments here (those it shares with the other models, and `**screen`), and refuses what
        would go unused.
    sparsity
        "dash" (prior and weights), "imp" (weights), "bio" (prior), "posthoc" (train dense, prune, fine-tune; the level
        by the one-standard-error rule), "none", a penalty ("l0", "cnode", "pathreg"; "lassonet" and "group_lasso" on
        "mlp" and "sonode" alone), a method registered with `scdash.sparsity.SPARSITIES` or a
        `scdash.sparsity.Sparsity`. "dash" without a prior has nothing to add and prunes by magnitude.
    encoder
        For "phoenix". "genes" (None): every gene is its own unit, U is the network. "modules": the paper's `n_hidden`
        units.
    start
        "matching" (convex, see above) or "random" weights. "auto": matching for PHOENIX, except with methods that make
        their zeros in training and so begin dense (penalties, "posthoc"); random for other models.
    prior
        Edges believed before seeing the data: DataFrame(source, target[, weight]), or the name of a `varp` entry in
        which row regulates column. Unsigned weights count as +1. What can not be used is reported.
    coregulation
        DataFrame(source, target[, weight]) of gene pairs that act together (symmetric); None: the regulators that
        share targets in the prior, :math:`|A||A|^\top`. Used by DASH's first layer (`encoder="modules"`) only.
    lambdas
        DASH: weight of the prior in the scores, one number or (first layer, second layer); "cv" runs
        `scdash.tl.cross_validate` first. None: .5 and .95 (`scale="matched"`), .05 and .01 (`scale="paper"`). Penalties:
        their strength, one number, or (gates, weights) for "pathreg"; `scdash.tl.sparsity_path` tries many. None: the
        method's default.
    scale
        For "dash". "matched" (None) brings both halves of a score to one scale, so that .5 means half and half; "paper" does not.
    missing
        For "dash" and "bio". "mean" (None) gives targets without any edge in the prior what the others get on average, so that a sparse prior does
        not take all their inputs (with modules their own weights say which are kept). "zero" is the paper, and right
        where a target without edges is known to have no regulator, as in simulations: on SIM350 "mean" cost 2.5 points
        of balanced accuracy with modules.
    schedule
        When how much is pruned (`scdash.sparsity.GeometricSchedule`); None: what suits encoder, start and data.
    regulators
        Genes that may regulate: a `var` column of flags or a list of names, such as all transcription factors of the
        species (names that are not in the data are left out and counted in the log); None: all.
    n_hidden
        Hidden units of "modules"; for "mlp" and "sonode" the sizes of the hidden layers, one number for two of them.
        None: 40.
    n_models
        Further models are trained in one stack, each with another part of the prior hidden: they show how stable each
        edge is (`selection_frequency`) and how much evidence the data hold (`evidence_auc`).
    time_key
        `obs` column with pseudotime or time: numbers, timedelta (read as hours), dates (hours since the first), or texts
        with a unit such as "D2", "day 2", "24h", "E8.5". The unit changes nothing but the unit of rates and predictions:
        the fit works in a unit of its own (`params["time_scale"]` is its length in the user's unit).
    trajectory_key
        `obs` column: the lineage of each cell, or the trajectory (time course) of each sample.
    batch_key
        `obs` column with the batch of each cell: each batch is a trajectory of its own, aligned by rank.
    split_key
        `obs` column with "train", "validation", "test". None: whole trajectories are held out, or stretches of bins
        where there are fewer than three.
    perturbation_key, control
        For "perturbode": `obs` column of labels (`GENE`, `GENE1+GENE2`) and the label(s) of unperturbed cells.
    observations
        "cells": rows are cells, smoothed into `n_bins` bins per trajectory. "states": every row is one state. "auto":
        cells if trajectories have more than 50 rows, most with a time of their own.
    n_bins
        Bins per trajectory of cells; None: 20.
    controls
        Cells only: compare the network with forecasts that have none (templates, analogues, relaxation), with random sets
        of regulators, shuffled priors and shuffled time, and give a verdict (`scdash.get.report`). Matching alone, with
        the fit's own lag and rate: seconds. "full" chooses those anew for each (about ten times longer); False leaves the
        verdict out.
    layer
        Layer to use instead of X; log-normalised expression.
    mask_var
        Genes to model: a `var` column of flags, flags, or a list of names; None: `var["highly_variable"]` if present, else
        all. Names that are not in the data are left out and counted in the log.
    allow_scaled
        Accept values that look centred or scaled (`sc.pp.scale`), such as changes from a reference.
    velocity_layer
        Write dx/dt of every row as a layer. None: where rows x modelled genes are at most a billion; True: always;
        False: never. The log names its size.
    key_added
        Name of the result.
    max_epochs
        Bound on training; 0 keeps the matched start as it is. None: what suits the fit.
    tau
        Weight of the data against PHOENIX's prior loss; 1 is off.
    solver
        "rk4" (fixed steps, checked against a tight dopri5 and reported) or any solver of torchdiffeq.
    training
        Further settings of training, e.g. `{"learning_rate": 1e-3, "batch_size": 28, "window": 1, "patience": 40,
        "steps": 4, "adjoint": False, "checkpoint_every": 10}`. For cells that start from the regression "learning_rate"
        and "batch_size" alone.
    sparsity_options
        Further settings of the sparsity method, e.g. `{"reduction": "sum"}` for "pathreg".
    rng
        Seed or numpy Generator; results are reproducible bit for bit on a CPU.
    device
        "auto" (CUDA if there is one), "cpu", "cuda", ...
    checkpoint
        File to write the state of training to now and then, and to continue from if it exists. A file of another run
        is refused.
    progress
        Show progress bars; None: if `scdash.settings.verbosity` is at least 2 and it takes over two seconds.
    copy
        Return a copy with the result instead of writing to `adata`.
    **screen
        For "perturbode" alone: `fit`, `kind`, `separator`, `prior_weight`, `fine_tune`, `n_folds`, `n_subsamples`,
        `hold_out`, `min_cells`, `unknown_targets`; see `scdash.tl.fit_perturbode`.

    Returns
    -------
    None, or the copy. Written:

    `varp[f"{key_added}_grn"]` : CSR float32 (n_vars, n_vars)
        Network: effect of the ROW (regulator) on dx/dt of the COLUMN (target), signed, in units of the genes' ranges.
    `uns[key_added]`
        `params`, `genes`, `weights`, `masks`, `minimum`, `range`, `history`, `metrics`, `controls`, `verdict` and
        `directions` (cells), `lineages` (a table, where there are several: `covered`, `end_rmse`, and `nearest`, the
        lineage at whose end the model arrives), `edges`, `prior`, `series`, `report`; read by `scdash.get`.
    `layers[f"{key_added}_velocity"]` : float32 (n_obs, n_vars), see `velocity_layer`
        dx/dt of every row, per unit of `time_key` (for cells: of the model's time, which runs from 0 to 10). Dense where
        every gene is modelled. Else CSR, with 8 bytes for each row and modelled gene: every value of a modelled gene is
        stored, also zeros, and a gene that was not modelled has no entry.
    `var[f"{key_added}_genes"]`, `var[f"{key_added}_velocity_genes"]` : bool
        Genes that were modelled; and, where the layer is written, those that have a velocity, under the name that
        CellRank and scVelo look for.
    `obs[f"{key_added}_position"]` : float (cells only)
        Place of every cell on the time axis of the fit; NaN for cells that took no part.

    Raises
    ------
    ValueError, KeyError, TypeError
        If an argument does not fit the data, or would have no effect with this model and method; the message names it and
        what to do. `adata` is unchanged then.
    NonFiniteError
        If training leaves the finite numbers.

    Examples
    --------
    >>> import scdash
    >>> adata = scdash.simulate.grn_dynamics(n_genes=20, n_trajectories=12, n_test=3, rng=0)
    >>> keys = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split"}
    >>> scdash.tl.fit_dynamics(adata, prior=adata.uns["prior"], max_epochs=5, **keys)
    >>> list(scdash.get.grn(adata).columns[:3])
    ['source', 'target', 'weight']
    """
    if model == "perturbode":
        return fit_screen(fit_dynamics, dict(locals()))
    check_key(key_added)
    check_switch(velocity_layer)
    refuse_screen_arguments(model, screen)
    _refuse_perturbations(model, perturbation_key, control)
    call = stored_call(locals())
    settled = settle(model, sparsity, encoder=encoder, scale=scale, missing=missing, n_hidden=n_hidden, lambdas=lambdas)
    seed = seed_of(rng)
    train = dict(training or {})
    for name in {"tau", "solver"} & set(train):
        raise ValueError(f"training: {name!r} is an argument of its own, fit_dynamics(..., {name}={train[name]!r}).")
    train |= {"tau": tau, "solver": solver}
    if max_epochs is not None:
        train["max_epochs"] = max_epochs
    with step(f"fitting dynamics ({model}, sparsity {_name(sparsity)})") as added:
        inputs = read_inputs(
            adata,
            layer=layer,
            mask_var=mask_var,
            time_key=time_key,
            trajectory_key=trajectory_key,
            batch_key=batch_key,
            split_key=split_key,
            observations=observations,
            prior=prior,
            coregulation=coregulation,
            regulators=regulators,
            n_bins=n_bins,
            seed=seed,
            controls=bool(controls),
            allow_scaled=allow_scaled,
        )
        options = FitOptions(
            model=model,
            sparsity=sparsity,
            start=start,
            lambdas=None if lambdas == "cv" else lambdas,
            schedule=schedule,
            **settled,
            n_models=n_models,
            seed=seed,
            device=device,
            cells=inputs.cells,
            controls=controls,
            training=train,
            sparsity_options=dict(sparsity_options or {}),
            checkpoint=None if checkpoint is None else Path(checkpoint),
            progress=progress,
        )
        warn_unused(options, schedule, lambdas)
        if lambdas == "cv":
            options = choose_lambdas(inputs.problem, options)
        fit = fit_series(inputs.problem, options)
        if key_added in adata.uns:
            logger.info("    overwriting adata.uns[%r] and the slots that go with it", key_added)
        target = adata.copy() if copy else adata
        settings = inputs.settings | {"call": call}
        added += store(target, fit, inputs, options, key_added, settings, velocity_layer=velocity_layer)
    logger.info(fit.report)
    return target if copy else None


def _refuse_perturbations(model: str, perturbation_key: str | None, control: Any) -> None:
    """Raise where a model of time is told which cells are perturbed."""
    if perturbation_key is not None:
        raise ValueError(f"perturbation_key is for model='perturbode'; model={model!r} learns from time.")
    if control != "control":
        meant = " Did you mean controls=False?" if isinstance(control, bool) else ""
        raise ValueError(f"control={control!r} is for model='perturbode'; model={model!r} has no control cells.{meant}")


def _name(sparsity: str | Sparsity) -> str:
    return sparsity if isinstance(sparsity, str) else sparsity.name
