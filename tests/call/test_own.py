"""A user's own field and method are objects that are passed; only names need a registration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import anndata
import numpy as np
import pytest
import torch

import scdash
from scdash import Training
from scdash.fields import FIELDS, Layer, RegulatoryPath, VectorField
from scdash.sparsity import SPARSITIES, GeometricSchedule, Score, Sparsity, imp

from .conftest import KEYS

TWO = Training(max_epochs=2)


@dataclass(frozen=True)
class Power(VectorField):
    """dx/dt = W |x|^exponent + b - x, in no registry."""

    name: ClassVar[str] = "power"
    n_genes: int = 0
    exponent: float = 2.0

    def init(self, n_models, generator, dtype=torch.float32):
        """Draw weights."""
        n = self.n_genes
        return {"W": torch.randn(n_models, n, n, generator=generator) / n, "b": torch.full((n_models, n), 0.5)}

    def bind(self, params: Mapping[str, torch.Tensor]):
        """Return x -> dx/dt."""
        weight, bias = params["W"].mT, params["b"][:, None]
        return lambda x: torch.baddbmm(bias - x, x.abs() ** self.exponent, weight)

    def paths(self):
        """Return the one path."""
        return (RegulatoryPath("genes", (Layer("W", lambda p: p["W"].abs(), lambda p: p["W"]),)),)


class First(Score):
    """Keep the regulators that are listed first."""

    def __call__(self, seen):
        """Return minus the place of the regulator."""
        found = {}
        for path in seen.field.paths():
            for layer in path.layers:
                size = layer.importance(seen.params)
                found[layer.parameter] = -torch.arange(size.shape[2], dtype=torch.float64).expand_as(size)
        return found, seen.memory


def fitted(course, **arguments):
    return scdash.tl.fit_dynamics(course, copy=True, progress=False, training=TWO, **KEYS | arguments)


def test_a_field_carries_its_own_options_and_is_found_again(course, tmp_path):
    square, cube = (fitted(course, model=Power(exponent=e), sparsity="none") for e in (2.0, 3.0))
    assert square.uns["dynamics"]["params"]["field_config"] == {"n_genes": 10, "exponent": 2.0}
    assert scdash.get.report(square)["predictor"].iloc[0] == "power"
    assert abs(square.varp["dynamics_grn"] - cube.varp["dynamics_grn"]).max() > 0
    cube.write_h5ad(tmp_path / "cube.h5ad")
    again = anndata.read_h5ad(tmp_path / "cube.h5ad")
    assert scdash.get.model(again).field == Power(10, exponent=3.0)
    np.testing.assert_array_equal(scdash.tl.predict(again).X, scdash.tl.predict(cube).X)
    settings = scdash.get.settings(again)
    assert settings["model"] == Power(exponent=3.0) and "power" not in FIELDS
    repeated = scdash.tl.fit_dynamics(course, copy=True, progress=False, **settings)
    assert (repeated.varp["dynamics_grn"] != cube.varp["dynamics_grn"]).nnz == 0


def test_a_field_for_another_number_of_genes_is_refused(course):
    fitted(course, model=Power(10), sparsity="none")
    with pytest.raises(ValueError, match="made for 9 genes, and 10 are modelled"):
        fitted(course, model=Power(9), sparsity="none")


def test_a_name_that_is_taken_is_refused(course):
    @dataclass(frozen=True)
    class Other(Power):
        name: ClassVar[str] = "mlp"

    try:
        with pytest.raises(ValueError, match="'mlp' is that of another field"):
            fitted(course, model=Other(), sparsity="none")
    finally:
        scdash.fields.DEFINED["mlp"] = FIELDS["mlp"]


def test_the_regression_has_no_weights_for_another_field(course):
    with pytest.raises(ValueError, match="model='power' has none to take"):
        fitted(course, model=Power(), start="regression")


def test_a_method_is_passed_as_it_is(course):
    plan = GeometricSchedule(first=0.6, first_epoch=1, then=0)
    own = Sparsity("first", {"keep": 4}, score=First(), schedule=plan)
    adata = fitted(course, sparsity=own, start="random", model=Power())
    assert set(np.unique(adata.varp["dynamics_grn"].nonzero()[0])) == {0, 1, 2, 3}
    assert adata.uns["dynamics"]["params"]["arguments"]["sparsity"] == "first(keep=4)" and "first" not in SPARSITIES
    with pytest.raises(ValueError, match=r"sparsity=first\(keep=4\).*cannot be made again.*without=\('sparsity',\)"):
        scdash.get.settings(adata)
    settings = scdash.get.settings(adata, without=("sparsity",))
    again = scdash.tl.fit_dynamics(course, copy=True, progress=False, sparsity=own, **settings)
    assert (again.varp["dynamics_grn"] != adata.varp["dynamics_grn"]).nnz == 0


def test_a_record_that_is_registered_is_found_by_its_name(course):
    plan = GeometricSchedule(first=0.6, first_epoch=1, then=0)
    adata = fitted(course, sparsity=imp(schedule=plan), start="random")
    found = scdash.get.settings(adata)["sparsity"]
    assert isinstance(found, Sparsity) and found.schedule == plan
