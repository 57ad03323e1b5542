"""A path over lambda: what its table holds, how the two strategies differ, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import read_h5ad

import scdash
from scdash.dynamics.state_pairs.penalty_path import PathRun, path_grid, scaled
from scdash.fields import Mlp
from scdash.resampling.penalty_choice import with_choice
from scdash.sparsity import as_sparsity
from scdash.training import Examples, TrainConfig, evaluate, example_errors

from .conftest import HOW

COLUMNS = ["lambda", "model", "train_loss", "validation_loss", "weight_sparsity", "feature_sparsity"]


def _path(adata, **changes):
    options = {
        "model": scdash.models.MLP((6,)),
        "sparsity": "group_lasso",
        "training": scdash.Training(max_epochs=12, learning_rate=0.02),
    }
    return scdash.tl.sparsity_path(adata, **options | changes, **HOW)


@pytest.fixture(scope="module")
def start(course):
    adata = course.copy()
    table = _path(adata, lambdas=[3.0, 0.0, 0.3], n_models=2, transcription_factors=["g00", "g03"])
    return adata, table


def test_the_table_is_returned_and_written(start, tmp_path) -> None:
    adata, table = start
    assert table["lambda"].tolist() == [0, 0, 0.3, 0.3, 3, 3] and table["model"].tolist() == [0, 1] * 3
    assert list(table) == [*COLUMNS, "spurious_sparsity", "epochs", "chosen"]
    assert np.isfinite(table[COLUMNS].to_numpy(float)).all()
    pd.testing.assert_frame_equal(adata.uns["sparsity_path"].reset_index(drop=True), table)
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = scdash.pl.sparsity_path(read_h5ad(tmp_path / "a.h5ad"), show=False)
    assert len(again) == 2 and again[1].get_xscale() == "symlog"


def test_stronger_means_sparser_and_a_dead_network_can_do_no_more_than_drift(start) -> None:
    _, table = start
    by = table.groupby("lambda")[["feature_sparsity", "spurious_sparsity"]].mean()
    assert by["feature_sparsity"].is_monotonic_increasing and by.loc[3.0].eq(1).all()
    assert by.loc[0.0, "feature_sparsity"] < 0.2
    assert table["chosen"].any() and table.loc[table["chosen"], "lambda"].nunique() == 1


def test_warm_starts_go_on_from_the_step_before(course) -> None:
    """With lambda 0 at every step nothing changes but the number of epochs, so that the training loss goes on falling."""
    table = _path(course.copy(), strategy="warm", sparsity="cnode", lambdas=[0.0, 1e-9, 2e-9], step_epochs=8)
    assert table["epochs"].tolist() == [12, 8, 8]
    assert (table["train_loss"].diff().dropna() < 0).all()


def test_gates_are_carried_from_step_to_step() -> None:
    field, method = Mlp(3, hidden=(4,)), as_sparsity("pathreg")
    draw = torch.Generator().manual_seed(0)
    states = torch.rand(2, 6, 3, generator=draw)
    examples = Examples(states[0], torch.tensor([0.0, 1.0]).expand(6, 2), states[1:])
    config = TrainConfig(max_epochs=4, learning_rate=1e-9, steps=1)
    run = PathRun(field, method, examples, examples, config, progress=False)
    params = field.init(2, draw)
    gates = {f"log_alpha_W{k}": torch.randn(2, *params[f"W{k}"].shape[1:], generator=draw) for k in (1, 2)}
    _, _, raw, _, _ = run.fit([0.1], params | gates, {}, config)
    for name, value in gates.items():
        torch.testing.assert_close(raw[name], value, atol=1e-6, rtol=0)


def test_strengths_keep_their_proportion() -> None:
    method = scaled(as_sparsity("pathreg", lambdas=(0.2, 0.4)), torch.tensor([1.0, 8.0], dtype=torch.float64))
    gates, weights = method.options["lambdas"]
    assert gates.tolist() == [0.5, 4.0] and weights.tolist() == [1.0, 8.0]
    assert path_grid(as_sparsity("cnode"), None) == pytest.approx([0, 1e-4, 1e-3, 1e-2, 0.1, 1.0])


def test_the_choice_is_the_largest_lambda_within_a_standard_error_of_the_best() -> None:
    table = pd.DataFrame({"lambda": [0.0, 1.0, 2.0, 3.0]})
    best = np.array([0.0, 2.0, 1.0, 1.0])  # mean 1, standard error sqrt(2/3) / 2 = .408
    errors = np.stack([best + 0.1, best, best + 0.4, best + 0.42])
    assert with_choice(table, errors)["chosen"].tolist() == [False, False, True, False]


def test_example_errors_average_to_the_loss() -> None:
    field = Mlp(3, hidden=(4,))
    draw = torch.Generator().manual_seed(0)
    states = torch.rand(3, 7, 3, generator=draw)
    examples = Examples(states[0], torch.tensor([0.0, 1.0, 1.5]).expand(7, 3), states[1:])
    params, config = field.init(2, draw), TrainConfig()
    each = example_errors(field, params, examples, config, size=3)
    assert each.shape == (2, 7)
    torch.testing.assert_close(each.mean(1), evaluate(field, params, examples, config))


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"sparsity": "imp"}, ValueError, "no strength to vary.*cross_validate"),
        ({"sparsity": "posthoc"}, ValueError, "no strength to vary"),
        ({"model": "phoenix"}, ValueError, "does not fit the vector field"),
        ({"lambdas": [-1.0]}, ValueError, "non-negative"),
        ({"lambdas": []}, ValueError, "at least one"),
        ({"strategy": "wram"}, ValueError, "Did you mean 'warm'"),
        ({"step_epochs": 3}, ValueError, "strategy='warm'"),
        ({"transcription_factors": ["nobody"]}, KeyError, "transcription_factors"),
        ({"sparsity": scdash.sparsity.PathReg(lambdas=(0.1, 0.0))}, ValueError, "the last one not 0"),
    ],
)
def test_bad_input_names_the_argument_and_writes_nothing(course, change, error, match) -> None:
    with pytest.raises(error, match=match):
        _path(course, **change)
    assert "sparsity_path" not in course.uns


def test_the_picture_needs_a_path(course) -> None:
    with pytest.raises(scdash._core.errors.NotFittedError, match="tl.sparsity_path"):
        scdash.pl.sparsity_path(course)
