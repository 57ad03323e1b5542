"""What a user would run on a screen instead of a mechanistic model, in the same slots."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from anndata import AnnData

from scdash._core.errors import check_choice, unused
from scdash._core.labels import check_key
from scdash._core.logging import logger, step
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, seed_of
from scdash._core.types import Genes
from scdash._data import writable
from scdash.models import PerturbODE
from scdash.screens.baselines.fits import BASELINES, Asked
from scdash.screens.fold_statistics import screen_statistics
from scdash.screens.inputs import LABELS_OF_MODEL, ScreenRequest, read_screen
from scdash.screens.labels_like_fit import labels_like_fit
from scdash.screens.store import store_screen

NOT_FOR_BASELINES = ("fit", "sources", "prior_weight", "n_subsamples")
"""Fields of `scdash.models.PerturbODE` that say how its own network is fitted."""
UNTESTED = (
    "No perturbation was left out, so that there are no errors of prediction. model=scdash.models.PerturbODE(hold_out=[...]), "
    "here and in scdash.tl.fit_perturbode, tests both on the same perturbations."
)


@guarded
def screen_baseline(
    adata: AnnData,
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
    batch_key: str | None = None,
    model: PerturbODE | None = None,
    options: Mapping[str, float | bool | str] | None = None,
    layer: str | None = None,
    mask_var: Genes | None = None,
    allow_scaled: bool = False,
    key: str = "dynamics",
    key_added: str | None = None,
    rng: RNG = 0,
    copy: bool = False,
) -> AnnData | None:
    """Run a baseline on a perturbation screen and store it as a fit, to be read, predicted from and compared alike.

    Parameters
    ----------
    adata
        As for `scdash.tl.fit_perturbode`.
    method
        "ridge": every gene on all others, over the cells of the perturbations that leave it alone; the bar. "lasso": the
        same with an L1 penalty, by the regression of equilibria with linear features. "differential_expression": mean absolute
        z of a gene where the regulator is perturbed. "correlation". "forest": random-forest importances as GENIE3.
        "notears": an acyclic linear causal model (Zheng et al. 2018); "notears_low_rank" (Fang et al. 2023). Both
        predict, and `scdash.tl.predict_perturbations(..., n_cells=)` samples cells from them. "no_change" and
        "mean_perturbation" predict and have no network.
    perturbation_key, control, batch_key, layer
        As for `scdash.tl.fit_perturbode`; None: those of the fit of a screen under `key`, if there is one, which the log says
        (layer="X": X all the same), else the defaults of that function.
    model
        What the labels mean and which perturbations take part, as the fields `kind`, `kind_key`, `guide_key`, `symbols`,
        `values`, `separator`, `unknown_targets`, `n_folds`, `hold_out` and `min_cells` of `scdash.models.PerturbODE` say.
        What the first seven leave out is that of the fit under `key`.
    mask_var, allow_scaled, rng, copy
        As for `scdash.tl.fit_perturbode`.
    key
        Name of a fit whose labels and layer are read by default.
    options
        Of the method: `alpha` (ridge); `covariation` (weight of how cells vary together within perturbations) and
        `nonnegative` (lasso); `n_trees`, `max_cells`, `n_jobs` (forest); `lam` (notears, the L1 penalty on standardised
        genes); `rank`, `ridge` (notears_low_rank). `lam` and `rank` are by default those whose network predicts the
        perturbations of one fold best from the others.
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
    check_choice("method", method, BASELINES)
    known, run = BASELINES[method]
    for name in options or {}:
        check_choice(f"option of {method}", name, known)
    name = method if key_added is None else key_added
    check_key(name)
    seed = seed_of(rng)
    labels = {"perturbation_key": perturbation_key, "control": control, "batch_key": batch_key, "layer": layer}
    request = _request(adata, key, labels, model or PerturbODE(), mask_var=mask_var, allow_scaled=allow_scaled)
    adata = writable(adata, copy=copy)
    with step(f"running a baseline on a screen ({method})") as added:
        inputs = read_screen(adata, request)
        generator = np.random.default_rng(seed)
        stats = screen_statistics(inputs, request.model.folds, generator, slope=None)
        fit = run(Asked(inputs, stats, generator, dict(options or {})))
        if not request.model.hold_out:
            fit = replace(fit, next_step=UNTESTED)
        asked = request.params(inputs) | {"sparsity": "none", "n_folds": request.model.folds, "rng": seed}
        added += store_screen(adata, inputs, stats, fit, asked | {"model": method, "field": "none"}, name)
    logger.info(adata.uns[name]["report"])
    return adata if copy else None


def _request(
    adata: AnnData, key: str, labels: dict[str, Any], model: PerturbODE, *, mask_var: Genes | None, allow_scaled: bool
) -> ScreenRequest:
    """Return how the screen is read: as given, else as the fit under `key` has read it."""
    given = model.given()
    for name in NOT_FOR_BASELINES:
        if name in given:
            raise unused(f"{name} of PerturbODE", "a baseline fits no PerturbODE")
    found = labels_like_fit(adata, key, labels | {name: given.get(name) for name in LABELS_OF_MODEL})
    own = {name: found.pop(name) for name in LABELS_OF_MODEL if name in found}
    return ScreenRequest(**found, mask_var=mask_var, allow_scaled=allow_scaled, model=replace(model, **own))
