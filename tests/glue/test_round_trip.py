"""For every kind of fit, `predict` from the held-out starts gives the reported errors again, before and after a file.

States and weights are stored in float32, so that errors of the stored model may differ in the sixth digit from those
that the fit has computed before it was stored. Before and after a file they are the same number.
"""

import anndata
import numpy as np
import pytest

import scdash
from scdash.fields import FIELDS
from scdash.models import PerturbODE, Transport, model_of
from scdash.sparsity import GeometricSchedule

from .data import COURSE, PRIOR, cells_of, screen_of, time_courses

STORED = 2e-5  # relative: what storage in float32 leaves of an error
QUICK = GeometricSchedule(first=0.5, first_epoch=1, then=0.1, every=1)
CELLS = {
    "time_key": "time",
    "observations": scdash.Cells(n_bins=10),
    "progress": False,
    "validation": scdash.Validation(null_models=False),
}

STATES = {
    "phoenix, regression": {"training": scdash.Training(max_epochs=0)},
    "phoenix, trained": {"start": "random", "sparsity": "none", "training": scdash.Training(max_epochs=2)},
    "phoenix, dash": {"start": "random", "sparsity": scdash.sparsity.DASH(schedule=QUICK), "training": scdash.Training(max_epochs=3)},
    "phoenix, imp": {"start": "random", "sparsity": scdash.sparsity.MagnitudePruning(schedule=QUICK), "training": scdash.Training(max_epochs=3)},
    "phoenix, bio": {"start": "random", "sparsity": scdash.sparsity.PriorPruning(schedule=QUICK), "training": scdash.Training(max_epochs=3)},
    "phoenix, l0": {"sparsity": "l0", "training": scdash.Training(max_epochs=2)},
    "phoenix, pathreg": {"sparsity": "pathreg", "training": scdash.Training(max_epochs=2)},
    "phoenix, cnode": {"sparsity": "cnode", "training": scdash.Training(max_epochs=2)},
    "phoenix, posthoc": {"sparsity": scdash.sparsity.TrainPruneFinetune(levels=(0.5,), repeats=1), "training": scdash.Training(max_epochs=2)},
    "phoenix, modules": {"model": scdash.models.Phoenix(encoder="modules", n_hidden=5), "sparsity": scdash.sparsity.DASH(schedule=QUICK), "training": scdash.Training(max_epochs=2)},
    "phoenix, replicates": {"n_models": 2, "training": scdash.Training(max_epochs=0)},
    "mlp": {"sparsity": "none", "model": scdash.models.MLP((6, 6)), "training": scdash.Training(max_epochs=2)},
    "mlp, lassonet": {"sparsity": "lassonet", "model": scdash.models.MLP((6, 6)), "training": scdash.Training(max_epochs=2)},
    "mlp, group_lasso": {"sparsity": "group_lasso", "model": scdash.models.MLP((6, 6)), "training": scdash.Training(max_epochs=2)},
    "sonode": {"sparsity": "none", "model": scdash.models.SecondOrder((6, 6)), "training": scdash.Training(max_epochs=2)},
}  # fmt: skip
OF_CELLS = {
    "one lineage": (1, {"training": scdash.Training(max_epochs=0)}),
    "four batches": (4, {"batch_key": "batch", "training": scdash.Training(max_epochs=0)}),
    "four batches, trained": (
        4,
        {"batch_key": "batch", "start": "random", "sparsity": "none", "training": scdash.Training(max_epochs=2)},
    ),
    "mlp": (
        4,
        {
            "batch_key": "batch",
            "sparsity": "none",
            "model": scdash.models.MLP((6, 6)),
            "training": scdash.Training(max_epochs=2),
        },
    ),
}


def errors_again(adata):
    """Return the errors that `predict` gives for the held-out states."""
    found = scdash.tl.predict(adata, split="test")
    by_hand = ((found.X.astype(float) - found.layers["observed"]) / found.var["range"].to_numpy()) ** 2
    of_window = [by_hand[found.obs["window"] == k].mean() for k in np.unique(found.obs["window"])]
    assert np.mean(of_window) == pytest.approx(found.uns["rollout_mse"], rel=STORED)
    return {name: found.uns[name] for name in ("rollout_mse", "next_step_mse")}


def check(adata, folder):
    """Compare the report with `predict`, before and after a file."""
    report = scdash.get.report(adata).iloc[0]
    before = errors_again(adata)
    assert before["rollout_mse"] == pytest.approx(report["rollout_mse"], rel=STORED)
    assert before["next_step_mse"] == pytest.approx(report["test_mse"], rel=STORED)
    adata.write_h5ad(folder / "fit.h5ad")
    read = anndata.read_h5ad(folder / "fit.h5ad")
    assert errors_again(read) == before
    again = scdash.get.report(read).iloc[0]
    assert again["rollout_mse"] == report["rollout_mse"] and again["test_mse"] == report["test_mse"]
    return report


@pytest.mark.parametrize("kind", STATES)
def test_time_courses(kind, tmp_path):
    adata = time_courses()
    prior = None if STATES[kind].get("model") in ("mlp", "sonode") else adata.uns["prior"]
    scdash.tl.fit_dynamics(adata, prior=prior, **COURSE, **STATES[kind])
    report = check(adata, tmp_path)
    if kind == "phoenix, regression":
        assert adata.uns["dynamics"]["params"]["slope"] != 1  # the units of the field are not those of the data
    test = adata.obs[adata.obs["split"] == "test"]
    errors = []
    for _, rows in test.groupby("trajectory", observed=True):  # as a user would: from the first state of each
        rows = rows.sort_values("time")
        path = scdash.tl.predict(adata, [rows.index[0]], times=rows["time"].to_numpy())
        errors.append(np.mean((path.X[1:].astype(float) - adata[rows.index[1:]].X) ** 2))
    assert np.mean(errors) == pytest.approx(report["rollout_mse"], rel=STORED)


def test_every_field_is_in_the_list():
    screens = {"perturbode"}  # see `test_screens`
    asked = {model_of(options.get("model", "phoenix")).name for options in STATES.values()}
    assert asked | screens == set(FIELDS)


@pytest.mark.parametrize("kind", OF_CELLS)
def test_cells(kind, tmp_path):
    batches, options = OF_CELLS[kind]
    adata = cells_of(batches)
    prior = None if "model" in options else PRIOR
    scdash.tl.fit_dynamics(adata, prior=prior, **CELLS, **options)
    check(adata, tmp_path)


def test_bins_made_before(tmp_path):
    bins = scdash.pp.trajectories(cells_of(4), time_key="time", batch_key="batch", n_bins=10)
    scdash.tl.fit_dynamics(
        bins,
        prior=PRIOR,
        progress=False,
        training=scdash.Training(max_epochs=0),
        validation=scdash.Validation(null_models=False),
    )
    check(bins, tmp_path)


def test_a_split_has_its_own_starts_and_times():
    adata = time_courses()
    scdash.tl.fit_dynamics(adata, training=scdash.Training(max_epochs=0), **COURSE)
    with pytest.raises(ValueError, match="leave out start, times"):
        scdash.tl.predict(adata, split="test", times=[0, 1])
    with pytest.raises(ValueError, match="Did you mean 'test'"):
        scdash.tl.predict(adata, split="tests")
    found = scdash.tl.predict(adata, split="train")
    assert found.n_obs == (adata.obs["split"] == "train").sum() - found.obs["window"].nunique()


HELD = ("g3", "g7")
SCREENS = {
    "equilibrium": PerturbODE(hold_out=HELD),
    "transport": PerturbODE(hold_out=HELD, fit=Transport(steps=20, n_modules=4, check_every=10)),
}


@pytest.mark.parametrize("way", SCREENS)
def test_screens(way, tmp_path):
    """Perturbations held out by name: `predict_perturbations` gives the errors of the stored table again."""
    adata, held = screen_of(40, strength=0.5, genes=10), list(HELD)
    scdash.tl.fit_perturbode(adata, progress=False, model=SCREENS[way])
    adata.write_h5ad(tmp_path / "screen.h5ad")
    for fitted in (adata, anndata.read_h5ad(tmp_path / "screen.h5ad")):
        entry = fitted.uns["dynamics"]
        found = scdash.tl.predict_perturbations(fitted, held)
        sd = np.asarray(entry["screen"]["within_sd"])
        free = ~found.layers["target"]
        error = ((found.layers["change"].astype(float) - found.layers["observed_change"]) / sd) ** 2
        rmse = [np.sqrt(row[free[k]].mean()) for k, row in enumerate(error)]
        table = entry["held_out"].query("predictor == 'fit'").set_index("perturbation").loc[held, "rmse_sd"]
        np.testing.assert_allclose(rmse, table, rtol=STORED)
