"""The user's unit of time changes nothing but the unit of rates and of predictions; `times` count from the start."""

import numpy as np
import pandas as pd
import pytest

import scdash

from .conftest import HOW

FITS = {
    "regression alone": {"training": scdash.Training(max_epochs=0)},
    "regression and training": {"training": scdash.Training(max_epochs=2)},
    "modules": {
        "start": "random",
        "model": scdash.models.Phoenix(encoder="modules", n_hidden=4),
        "sparsity": scdash.sparsity.DASH(scale="paper"),
        "training": scdash.Training(max_epochs=5),
    },
    "genes, random": {"start": "random", "sparsity": "none", "training": scdash.Training(max_epochs=3)},
    "mlp": {"sparsity": "cnode", "model": scdash.models.MLP((8, 8)), "training": scdash.Training(max_epochs=3)},
    "second order": {
        "sparsity": "none",
        "model": scdash.models.SecondOrder((8, 8)),
        "training": scdash.Training(max_epochs=3),
    },
    "pathreg": {"sparsity": "pathreg", "training": scdash.Training(max_epochs=3)},
    "posthoc": {"sparsity": "posthoc", "training": scdash.Training(max_epochs=4)},
    "dopri5": {"start": "random", "sparsity": "none", "training": scdash.Training(max_epochs=2, solver="dopri5")},
}
SECONDS, HOURS = 86400.0, 24.0


def fit(course, factor=1.0, **options):
    adata = course.copy()
    adata.obs["time"] = adata.obs["time"] * factor
    prior = None if options.get("model") in ("mlp", "sonode") else adata.uns["prior"]
    scdash.tl.fit_dynamics(adata, prior=prior, **(HOW | options))
    return adata


@pytest.mark.parametrize("name", FITS)
def test_seconds_and_days_give_the_same_fit(course, name):
    days, seconds = fit(course, **FITS[name]), fit(course, SECONDS, **FITS[name])
    a, b = days.uns["dynamics"], seconds.uns["dynamics"]
    pd.testing.assert_frame_equal(a["history"], b["history"])
    for metric in ("train_mse", "test_mse", "rollout_mse"):
        assert a["metrics"][metric] == b["metrics"][metric]
    np.testing.assert_allclose(np.asarray(b["series"]["time"]), SECONDS * np.asarray(a["series"]["time"]))
    velocity = [one.layers["dynamics_velocity"] for one in (days, seconds)]
    np.testing.assert_allclose(velocity[1] * SECONDS, velocity[0], rtol=1e-4, atol=1e-6)
    grn = [one.varp["dynamics_grn"].toarray() for one in (days, seconds)]
    np.testing.assert_allclose(grn[1] * SECONDS, grn[0], rtol=1e-4, atol=1e-7)
    paths = [scdash.tl.predict(one, times=np.array([1.0, 4.5]) * f).X for one, f in ((days, 1), (seconds, SECONDS))]
    np.testing.assert_allclose(paths[1], paths[0], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def both(course):
    return fit(course, training=scdash.Training(max_epochs=0)), fit(
        course, HOURS, training=scdash.Training(max_epochs=0)
    )


def test_what_is_asked_of_a_fit_later_takes_the_users_unit(both):
    days, hours = both
    gene = str(scdash.get.grn(days, only_network=True)["source"].iloc[0])
    for adata, unit in ((days, 1.0), (hours, HOURS)):
        scdash.tl.gene_influence(adata, n_starts=5, times=np.array([2.0, 4.0]) * unit, progress=False)
        scdash.tl.perturbation_scores(adata, genes=[gene])
        scdash.tl.perturbation_shift(adata, gene, duration=1.5 * unit)
        adata.uns["moved"] = scdash.tl.perturb(adata, gene, times=[3 * unit]).uns["change"]
    for read in (
        lambda adata: adata.varm["dynamics_influence"][["absolute", "signed"]].to_numpy(),
        lambda adata: adata.uns["dynamics_perturbation_scores"]["table"]["score"].to_numpy(),
        lambda adata: adata.layers["dynamics_shift"],
        lambda adata: adata.uns["moved"].sort_values("gene")["change"].to_numpy(),
    ):
        np.testing.assert_allclose(read(hours), read(days), rtol=1e-4, atol=1e-6)


def test_the_module_runs_in_the_users_unit(both):
    days, hours = (scdash.get.model(adata) for adata in both)
    import torch

    x = torch.rand(3, len(days.genes))
    torch.testing.assert_close(hours(0.0, x) * HOURS, days(0.0, x))


def test_the_state_at_a_time_does_not_depend_on_the_other_times(both):
    adata = both[0]
    first = adata.obs_names[:2].tolist()

    def at(found, time):
        return found[found.obs["time"] == time].X

    full = scdash.tl.predict(adata, first, times=[0, 2, 4])
    for times in ([2, 4], [2], 2, [0.5, 2]):
        np.testing.assert_allclose(at(scdash.tl.predict(adata, first, times=times), 2), at(full, 2), atol=1e-4)
    held = [scdash.tl.perturb(adata, "g01", start=first, times=times) for times in ([0, 2, 4], [2, 4], [4])]
    for part in held[1:]:
        np.testing.assert_allclose(at(part, 4), at(held[0], 4), atol=1e-4)
        pd.testing.assert_frame_equal(part.uns["change"], held[0].uns["change"], atol=1e-4)
    influence = [
        scdash.tl.gene_influence(adata, n_starts=4, times=times, progress=False, copy=True).uns["dynamics_influence"]
        for times in ([0, 2, 4], [2, 4])
    ]
    assert influence[0]["times"].tolist() == influence[1]["times"].tolist() == [0, 2, 4]
    np.testing.assert_allclose(influence[0]["absolute"], influence[1]["absolute"])


@pytest.mark.parametrize("times", [[-1, 2], [2, 1], [], [0, np.nan], [0, 0]])
def test_times_that_are_no_times_since_the_start(both, times):
    with pytest.raises(ValueError, match="times must be finite, increasing times since the start"):
        scdash.tl.predict(both[0], times=times)


@pytest.mark.parametrize(
    ("make", "unit", "scale"),
    [
        (lambda t: pd.to_timedelta(t, unit="D"), "hours", 24.0),
        (lambda t: "D" + t.map("{:g}".format), "days", 1.0),
        (lambda t: pd.Categorical(t, ordered=True), None, 1.0),
        (lambda t: (t * 24).map("{:g}h".format).astype("category"), "hours", 24.0),
    ],
)
def test_a_fit_takes_time_in_every_form_and_keeps_its_unit(course, both, make, unit, scale):
    adata = course.copy()
    adata.obs["time"] = make(adata.obs["time"])
    scdash.tl.fit_dynamics(adata, prior=adata.uns["prior"], **(HOW | {"training": scdash.Training(max_epochs=0)}))
    params = adata.uns["dynamics"]["params"]
    assert params["time_unit"] == unit and params["time_scale"] == pytest.approx(scale)
    assert adata.uns["dynamics"]["metrics"]["test_mse"] == both[0].uns["dynamics"]["metrics"]["test_mse"]
    found = scdash.tl.predict(adata, times=[2 * scale])
    np.testing.assert_allclose(found.X, scdash.tl.predict(both[0], times=[2.0]).X, atol=1e-5)
