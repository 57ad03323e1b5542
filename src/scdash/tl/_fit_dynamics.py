"""`fit_dynamics`: reads AnnData, fits, writes."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Literal

from anndata import AnnData

from scdash._core.labels import check_key
from scdash._core.logging import logger, step, whole_call
from scdash._core.parallel import use_jobs
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG
from scdash._core.types import Genes, PriorLike
from scdash._data import writable
from scdash._data.time_series.observations import Observations
from scdash.dynamics.call import FitCall, fit_of_call
from scdash.dynamics.inputs import TIME_KEY
from scdash.dynamics.store import store
from scdash.fields import VectorField
from scdash.models import Model, PerturbODE, model_of
from scdash.regression import Regression
from scdash.resampling.validation import Validation
from scdash.sparsity import Method, Sparsity
from scdash.tl._perturbode import fit_screen
from scdash.training import Training


@guarded
def fit_dynamics(
    adata: AnnData,
    prior: PriorLike | None = None,
    *,
    model: str | Model | VectorField = "phoenix",
    sparsity: str | Method | Sparsity = "dash",
    start: Literal["auto", "random", "regression"] | Regression = "auto",
    training: Training | None = None,
    validation: Validation | None = None,
    time_key: str = TIME_KEY,
    trajectory_key: str | None = None,
    batch_key: str | None = None,
    split_key: str | None = None,
    perturbation_key: str | None = None,
    control: str | Sequence[str] = "control",
    layer: str | None = None,
    mask_var: Genes | None = None,
    regulators: Genes | None = None,
    observations: Observations = "auto",
    velocity: str | tuple[str, str] | None = None,
    allow_scaled: bool = False,
    write_velocity: bool | None = None,
    n_models: int = 1,
    rng: RNG = 0,
    device: str = "auto",
    n_jobs: int | None = None,
    key_added: str = "dynamics",
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.

    By default a gene-wise PHOENIX: every gene relaxes at its own rate towards a production that is a sparse function
    of its regulators,

    .. math:: dx_i/dt = \mathrm{relu}(v_i)\,\bigl(b_i + \textstyle\sum_j U_{ij}\,\varphi_\Sigma(x_j) - x_i\bigr),

    fitted first by sparse regression between states (`start="regression"`, seconds), then trained on as a neural ODE and
    pruned by DASH (Hossain, Fischer et al. 2024). The network that is stored is that of this model: an entry is not 0
    exactly where the derivative of the target depends on the source.
    `model=Phoenix(encoder="modules"), sparsity=DASH(scale="paper", no_prior_targets="zero"), start="random"` is the paper's
    model and training.

    Time courses are trained on whole trajectories, from the edges that a weaker penalty has as well, and with products of a
    gene's strongest regulators. The number of epochs and the level of pruning are chosen by left-out trajectories (in up
    to five groups; by left-out parts of a single one), and so is the weight of the prior, by the regression; the level is
    the sparsest within one standard error. The model is fitted again to all states that are not for test, validation
    included: errors on validation states are then no held-out ones, those in `choices` are.

    Cells are trained on whole trajectories, from many starts to the end, and pruned in rounds. The number of epochs, the
    use of the prior (at all, or not) and the level of pruning are chosen by leaving out whole trajectories in turn where
    every lineage has several batches (the sparsest level within one standard error), and otherwise by predicting the other
    half of the cells (the sparsest level that explains at least 97.5 % of what the best one does); the model is then fitted
    again to all cells that are not for test. `uns[key_added]["params"]` holds
    what was `chosen` and every setting that was looked at (`choices`).

    Cells at few sampled times (`time_key` "hours", "D2", timedelta, ...) are one trajectory with the mean of the cells of
    each time as its states and real intervals between them. It is also learned from cells drawn again, and from groups of
    related cells, which couplings between consecutive times follow to their ancestors and descendants: how groups that
    differ early differ later is what means alone do not show. Each time between two others is left out in turn and
    predicted from the state before, beside a straight line between its neighbours; epochs, prior and level are chosen by
    these errors, and null models are evaluated by them.

    Parameters
    ----------
    adata
        Cells that have been through `scdash.pp`, bins from `scdash.pp.trajectories`, or samples of a time course.
    prior
        Edges believed before seeing the data: DataFrame(source, target[, weight]), or the name of a `varp` entry in
        which row regulates column. Unsigned weights count as +1. What cannot be used is reported.
    model
        A name or a value of `scdash.models`: "phoenix" or `Phoenix(...)`, "mlp" or `MLP(...)` (a plain neural ODE),
        "sonode" or `SecondOrder(...)`, and "perturbode" or `PerturbODE(...)` for a perturbation screen, which is
        `scdash.tl.fit_perturbode`. Or a vector field of your own, such as `Hill(exponent=3)`; see :doc:`/extending`.
    sparsity
        A name or a value of `scdash.sparsity`: "dash" or `DASH(...)` (prior and weights), "imp" or `MagnitudePruning(...)`,
        "bio" or `PriorPruning(...)`, "posthoc" or `TrainPruneFinetune(...)`, "none", or a penalty: "l0", "cnode", "pathreg",
        and "lassonet" and "group_lasso" on `MLP` and `SecondOrder` alone. Or a `scdash.sparsity.Sparsity` of your own.
    start
        "regression" (convex, see above), `Regression(...)` with its settings, or "random" weights. "auto": the regression
        for PHOENIX, except with methods that make their zeros in training and so begin dense (penalties, "posthoc");
        random weights for other models.
    training
        How the model is trained, `scdash.Training(max_epochs=...)`; None, as each of its fields: what suits the fit.
    validation
        How the fit is evaluated, `scdash.Validation(null_models=...)`; None: null models are made for cells.
    time_key
        `obs` column with pseudotime or time: numbers, timedelta (read as hours), dates (hours since the first), or texts
        with a unit such as "D2", "day 2", "24h", "E8.5". The unit changes nothing but the unit of rates and predictions:
        the fit works in a unit of its own (`params["time_scale"]` is its length in the user's unit). With a table of
        lineages as `trajectory_key` it may be a table of `obsm`, too, with the pseudotime of every cell in every lineage.
    trajectory_key
        `obs` column: the lineage of each cell, or the trajectory (time course) of each sample. Or, for cells, an `obsm`
        table of the weights of every cell in every lineage: the weights of slingshot, branch masks of Palantir, fate
        probabilities of CellRank; lineages are named by the columns of a DataFrame, the `names` of the array, or
        `uns[f"{trajectory_key}_names"]` (or `_columns`). Rows sum to 1, or have 1 as their largest weight (masks and
        slingshot: a shared progenitor counts fully in each of its lineages); weights below 0.05 count as 0, and a cell
        without any takes no part. A bin of a lineage is the mean of its cells by weight, and a cell that weighs less takes
        a smaller part of the path. One model is fitted to all lineages, which it tells apart by their first states.
    batch_key
        `obs` column with the batch of each cell: each batch is a trajectory of its own in every lineage, aligned by rank.
        A left-out batch is predicted from a first state that is nearer to those of the others where the noise of its cells
        explains how it differs (docs/concepts/evidence).
    split_key
        `obs` column with "train", "validation", "test". None: of cells that are trained on whole trajectories nothing is held
        out, since their errors come from folds; of others whole trajectories are, or time windows where there are fewer
        than three.
    perturbation_key, control
        For "perturbode": `obs` column of labels (`GENE`, `GENE1+GENE2`) and the label(s) of unperturbed cells.
    layer
        Layer to use instead of X; log-normalised expression.
    mask_var
        Genes to model: a `var` column of flags, flags, or a list of names; None: `var["highly_variable"]` if present, else
        all. Names that are not in the data are left out and counted in the log.
    regulators
        Genes that may regulate: a `var` column of flags or a list of names, such as all transcription factors of the
        species (names that are not in the data are left out and counted in the log); None: all.
    observations
        "cells": rows are cells, smoothed into 20 bins per trajectory, or, where they share few sampled times, one bin per
        time; or `scdash.Cells(n_bins=..., align=..., couplings=..., pseudotime_key=...)` with other bins, another alignment of
        batches, or, of cells at sampled times, other couplings, or a pseudotime that orders the cells inside each time.
        "states": every row is one state. `scdash.Samples(predecessor_key=..., interval_key=...)`: every row is one state that
        names the one before it and the time since, for time courses that branch; `time_key` and `trajectory_key` are left out. Every
        interval is learned from once; what starts from one sample is left out together, or with fewer than five starts the
        branches; samples without any interval are not used, which the log says. "auto": cells if there are more than 50
        rows, most with a time of their own, or at least five of a trajectory at most times.
    velocity
        For cells: measured dx/dt, from which the regression that training starts from learns, and training itself. The name
        of a layer with the velocity of every cell from any tool, in units of the expression per unit of any time (what scVelo
        has written, which is in units of counts, is divided by 1 + `layers["Ms"]`; only genes flagged in
        `var[f"{velocity}_genes"]`, where there is such a column, have one). Or the names of two layers, of spliced and
        unspliced counts, `("spliced", "unspliced")`, from which scVelo's steady-state model makes velocities (extra
        `velocity`), for every part of the cells on its own, so that halves stay apart. Rows are means of neighbouring
        cells, weighted by how much these differ and, of counts, genes by how well halves of the cells agree; each velocity
        is scaled to the slope of its trajectory, since its unit of time is unknown, and left out where it opposes it. How
        much all rows count beside all transitions (0, 0.1, 0.3 or 1) is chosen by velocities and trajectories of cells that
        were left out (0 where these velocities are not clearly predicted at all), and reported
        (`params["chosen"]["velocity_weight"]`, `params["velocity_choices"]`, and in `metrics` the cosine of the model with
        velocities that were left out, `velocity_cosine`). With a layer, its own smoothing over cells is not undone.
    allow_scaled
        Accept values that look centred or scaled (`sc.pp.scale`), such as changes from a reference.
    write_velocity
        Write dx/dt of every row as a layer. None: where rows x modelled genes are at most a billion; True: always;
        False: never. The log names its size.
    n_models
        Further models are trained in one stack, each with another part of the prior hidden: they show how stable each
        edge is (`selection_frequency`) and how much evidence the data hold (`evidence_auc`).
    rng
        Seed or numpy Generator; results are reproducible bit for bit on a CPU.
    device
        "auto" (CUDA if there is one), "cpu", "cuda", ...
    n_jobs
        Processes of joblib for independent pieces of work; None: one, or what `joblib.parallel_config` says (loky, dask,
        ray).
    key_added
        Name of the result.
    progress
        Show progress bars; None: if `scdash.settings.verbosity` is at least 2 and it takes over two seconds.
    copy
        Return a copy with the result instead of writing to `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. Written:
    `varp[f"{key_added}_grn"]` : CSR float32 (n_vars, n_vars)
        Network: effect of the ROW (regulator) on dx/dt of the COLUMN (target), signed, in units of the genes' ranges.
    `uns[key_added]`
        `params` (with the `arguments` of this call, which `scdash.get.settings` returns), `genes`, `weights`, `masks`,
        `minimum`, `range`, `history`, `metrics`, `errors`, `verdict` and `directions` (cells), `lineages` (a table: how well
        the mean trajectory of each is followed, `r2`; where there are several also `covered`, `end_rmse`, and `nearest`, the
        lineage at whose end the model arrives), `edges`, `prior`, `series`, `report`; read by `scdash.get`.
    `layers[f"{key_added}_velocity"]` : float32 (n_obs, n_vars), see `write_velocity`
        dx/dt of every row, per unit of `time_key` (for cells in pseudotime: of the model's time, which runs from 0 to 10). Dense where
        every gene is modelled. Else CSR, with 8 bytes for each row and modelled gene: every value of a modelled gene is
        stored, also zeros, and a gene that was not modelled has no entry.
    `var[f"{key_added}_genes"]`, `var[f"{key_added}_velocity_genes"]` : bool
        Genes that were modelled; and, where the layer is written, those that have a velocity, under the name that
        CellRank and scVelo look for.
    `obs[f"{key_added}_position"]` : float (cells, and `Samples(...)`)
        Place of every cell on the time axis of the fit, 0 to 10 (of cells at sampled times their time, in the unit of
        `time_key`; of samples with predecessors the time since the start); NaN for rows that took no part.

    Raises
    ------
    ValueError, KeyError, TypeError
        If an argument does not fit the data, or would have no effect with this model and method; the message names it and
        what to do. `adata` is unchanged then.
    NonFiniteError
        If training leaves the finite numbers.

    See Also
    --------
    scdash.get.report : Return errors of the fitted model beside its null models and baselines.
    scdash.get.grn : Return the network as a table of edges, strongest evidence first.
    scdash.get.settings : Return the arguments of `scdash.tl.fit_dynamics` that repeat a fit.
    scdash.tl.perturb : Predict trajectories with some genes held at a level, beside the unperturbed ones.
    scdash.pl.trends : Draw genes over time: what was observed as circles, the model's trajectory as a line, and cells as light points.
    scdash.pl.network : Draw the strongest edges of the network.

    Examples
    --------
    >>> import scdash
    >>> adata = scdash.simulate.grn_dynamics(n_genes=20, n_trajectories=12, n_test=3, rng=0)
    >>> keys = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split"}
    >>> scdash.tl.fit_dynamics(adata, adata.uns["prior"], training=scdash.Training(max_epochs=5), **keys)
    >>> list(scdash.get.grn(adata).columns[:3])
    ['source', 'target', 'weight']
    """
    given = dict(locals())
    call = FitCall(**{one.name: given[one.name] for one in fields(FitCall)})
    if isinstance(model_of(model), PerturbODE):
        return fit_screen(adata, call, key_added=key_added, copy=copy)
    check_key(key_added)
    asked, seed = call.settle(), call.seed()
    with step(f"fitting dynamics ({asked.names})") as added, use_jobs(n_jobs):
        with whole_call("fit", progress=progress):
            found = fit_of_call(adata, call, asked, seed)
        if key_added in adata.uns:
            logger.info("    overwriting adata.uns[%r] and the slots that go with it", key_added)
        target = writable(adata, copy=copy)
        settings = found.inputs.settings | {"arguments": call.stored()}
        added += store(
            target, found.fit, found.inputs, found.options, key_added, settings, write_velocity=write_velocity
        )
    logger.info(found.fit.report)
    if found.fit.details:
        logger.debug(found.fit.details)
    return target if copy else None
