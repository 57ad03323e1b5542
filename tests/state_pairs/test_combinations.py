"""Every registered model x sparsity method through `fit_dynamics` itself: fitted and usable, or refused with a reason."""

import itertools
from typing import Any

import numpy as np
import pytest

import scdash
from scdash.fields import FIELDS
from scdash.networks import effects, sparse_effects
from scdash.sparsity import SPARSITIES, GeometricSchedule, pathreg

HOW = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split", "progress": False}
# what makes no sense, and what the refusal must say; everything else has to be accepted
REFUSED = {
    **{
        ("phoenix", method): reason
        for method, reason in (("lassonet", "skip connection"), ("group_lasso", "per target"))
    },
    # a time course is no screen; methods on screens are tested in tests/screens
    **{("perturbode", method): "not for model='perturbode'" for method in SPARSITIES},
}
QUICK = GeometricSchedule(first=0.5, first_epoch=1)


@pytest.fixture(scope="module")
def course() -> Any:
    return scdash.simulate.grn_dynamics(n_genes=12, n_trajectories=10, n_test=2, prior_moved=0.2, rng=3)


def _fit(course: Any, model: str, sparsity: Any, **changes: Any) -> Any:
    options: dict[str, Any] = {"prior": course.uns["prior"], "copy": True, "training": scdash.Training(max_epochs=2)}
    chosen: Any = {"mlp": scdash.models.MLP((3, 3)), "sonode": scdash.models.SecondOrder((3, 3))}.get(model, model)
    if isinstance(sparsity, str) and "schedule" in (SPARSITIES[sparsity].__kwdefaults__ or {}):
        sparsity = scdash.sparsity.METHODS[sparsity](schedule=QUICK)
    if sparsity == "posthoc":
        sparsity = scdash.sparsity.TrainPruneFinetune(levels=(0.5,), repeats=1)
    return scdash.tl.fit_dynamics(course, **{"sparsity": sparsity, "model": chosen} | HOW | options | changes)


@pytest.mark.parametrize(("model", "sparsity"), list(itertools.product(FIELDS, SPARSITIES)))
def test_every_combination_is_fitted_or_refused_with_a_reason(course: Any, model: str, sparsity: str) -> None:
    if reason := REFUSED.get((model, sparsity)):
        with pytest.raises((ValueError, KeyError), match=reason):
            _fit(course, model, sparsity)
        return
    adata = _fit(course, model, sparsity)
    entry, grn = adata.uns["dynamics"], adata.varp["dynamics_grn"]
    assert entry["params"]["sparsity_asked"] == sparsity == entry["params"]["sparsity_options"]["name"]
    made = "imp" if sparsity == "dash" and entry["params"].get("chosen", {}).get("prior_weight") == 1 else sparsity
    assert entry["params"]["sparsity"] in ("none", "regression", sparsity, f"regression and {made}")
    assert grn.shape == (12, 12) and np.isfinite(grn.data).all()
    assert set(scdash.get.grn(adata).query("weight != 0")["source"]) <= set(adata.var_names)
    assert 0 <= entry["metrics"]["feature_sparsity"] <= 1
    future = scdash.tl.predict(adata, times=[0, 1])
    assert np.isfinite(future.X).all()


@pytest.mark.parametrize(
    ("model", "sparsity", "start"),
    [
        ("phoenix", "dash", "regression"),
        ("phoenix", "none", "regression"),
        ("phoenix", "l0", "random"),
        ("phoenix", "posthoc", "random"),
        ("phoenix", pathreg(), "random"),
        ("mlp", "imp", "random"),
    ],
)
def test_the_automatic_start_is_the_regression_where_it_leaves_the_method_something_to_do(
    model: str, sparsity: Any, start: str
) -> None:
    assert scdash.dynamics.options.FitOptions(model=model, sparsity=sparsity).start == start


@pytest.mark.parametrize(
    ("sparsity", "lambdas"),
    [("l0", 0.1), ("cnode", 0.1), ("pathreg", (0.01, 0.1)), ("lassonet", 1.0), ("group_lasso", 0.1)],
)
def test_lambdas_are_the_strengths_of_any_method_that_has_them(course: Any, sparsity: str, lambdas: Any) -> None:
    method = scdash.sparsity.METHODS[sparsity](lambdas=lambdas)
    stored = _fit(course, "mlp", method).uns["dynamics"]["params"]["sparsity_options"]["lambdas"]
    assert np.ravel(stored).tolist() == np.ravel(lambdas).tolist()


METHODS_REFUSED = {
    "pathreg, one strength": (lambda s: s.PathReg(lambdas=0.1), ValueError, "two, \\(gates, weights\\)"),
    "l0, two strengths": (lambda s: s.L0(lambdas=(0.1, 0.2)), ValueError, "one strength here"),
    "l0, cross-validated": (lambda s: s.L0(lambdas="cv"), ValueError, "cv"),
    "l0, schedule": (lambda s: s.L0(schedule=QUICK), TypeError, "schedule"),
    "imp, lambdas": (lambda s: s.MagnitudePruning(lambdas=0.5), TypeError, "lambdas"),
    "dash, no share": (lambda s: s.DASH(lambdas=1.5), ValueError, r"fractions of the prior in \[0, 1\]"),
    "dash, scale": (lambda s: s.DASH(scale="papr"), ValueError, "Did you mean 'paper'"),
    "dash, targets": (lambda s: s.DASH(no_prior_targets="men"), ValueError, "Did you mean 'mean'"),
    "dash, schedule": (lambda s: s.DASH(schedule={"first": 0.5}), TypeError, "GeometricSchedule"),
    "posthoc, epochs": (lambda s: s.TrainPruneFinetune(tuning_epochs=0), ValueError, "at least 1"),
}


@pytest.mark.parametrize("name", METHODS_REFUSED)
def test_a_method_refuses_what_it_has_no_use_for(name: str) -> None:
    make, error, match = METHODS_REFUSED[name]
    with pytest.raises(error, match=match):
        make(scdash.sparsity)


def test_replicates_are_not_for_repeats(course: Any) -> None:
    with pytest.raises(ValueError, match="Leave n_models at 1"):
        _fit(course, "phoenix", "posthoc", n_models=2)


def test_regulators_bind_every_way_from_inputs_to_targets(course: Any) -> None:
    for sparsity in ("none", "lassonet", "group_lasso", "pathreg"):
        adata = _fit(course, "sonode", sparsity, regulators=["g01", "g04"])
        assert set(np.unique(adata.varp["dynamics_grn"].nonzero()[0])) <= {1, 4}


def test_positions_and_velocities_of_second_order_fields_are_one_regulator() -> None:
    import torch

    field = FIELDS["sonode"](4, hidden=(3,), skip="inner")  # type: ignore[call-arg]
    params = field.init(1, torch.Generator().manual_seed(0))
    both = effects(field, params)[0]
    folded = sparse_effects(field, params, by_gene=True)[0].toarray()
    position, velocity = both[:, :4].numpy(), both[:, 4:].numpy()
    larger = np.where(abs(position) >= abs(velocity), position, velocity)
    np.testing.assert_allclose(folded, np.sign(larger) * (abs(position) + abs(velocity)), rtol=1e-6)
    np.testing.assert_allclose(folded, effects(field, params, by_gene=True)[0].numpy(), rtol=1e-6)


def test_the_module_returns_the_derivative_of_what_is_observed() -> None:
    """Outer LassoNet observes x + S x of the solution, so its derivative is (1 + S) f."""
    import torch

    from scdash.networks import DynamicsModel

    field = FIELDS["mlp"](3, hidden=(4,), skip="outer")  # type: ignore[call-arg]
    params = field.init(1, torch.Generator().manual_seed(0))
    x = torch.rand(5, 3)
    rate = field.velocity(params, x[None])[0]
    module = DynamicsModel(field, params, genes=np.array(["a", "b", "c"]))
    torch.testing.assert_close(module(0.0, x), rate + rate @ params["S"][0].T)
