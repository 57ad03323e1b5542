"""The stages: what moves in each, no leakage, stacks equal single models, missing entries, reproducibility."""

from dataclasses import replace
from typing import Any

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scdash._core.errors import NonFiniteError
from scdash.paired.evaluation import multivariate_r2
from scdash.paired.five_stages import Trainer
from scdash.paired.layers import group_norms
from scdash.paired.schedule import BottleneckTraining
from scdash.paired.stacked_inputs import pretrain_labels
from scdash.paired.stacks import fit_networks
from scdash.resampling.folds import Fold, make_folds

SMALL = BottleneckTraining(
    hidden=(16, 8), n_clusters=4, pretrain_epochs=3, frozen_epochs=2, unfrozen_epochs=3, tuning_epochs=3,
    autoencoder_epochs=2, pretrain_rate=1e-3, frozen_rate=1e-3, unfrozen_rate=1e-3, tuning_rate=1e-3, batch_size=16,
)  # fmt: skip


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(90, 2))
    x = rng.normal(size=(90, 12))
    x[:, :4] += z @ rng.normal(size=(2, 4)) * 2
    y = np.tanh(z @ rng.normal(size=(2, 3))) + 0.2 * rng.normal(size=(90, 3))
    return np.abs(x).astype(np.float32), y


def fit(x: Any, y: np.ndarray, folds: list[Fold] | None = None, **options: Any) -> list[Any]:
    folds = make_folds(len(y), 3, rng=0) if folds is None else folds
    options = {"schedule": SMALL, "n_features": 5, "progress": False, **options}
    return fit_networks(x, y, folds, **options)


def trainer(x: np.ndarray, y: np.ndarray, schedule: BottleneckTraining = SMALL, n_folds: int = 2) -> Trainer:
    folds = make_folds(len(y), n_folds, rng=0)
    streams = np.random.default_rng(0).spawn(n_folds)
    return Trainer(x, y, folds, streams, n_latent=2, n_features=5, schedule=schedule)


def test_same_seed_same_weights_bit_for_bit(data: tuple[np.ndarray, np.ndarray]) -> None:
    first, second, other = fit(*data, rng=3), fit(*data, rng=3), fit(*data, rng=4)
    for a, b in zip(first, second, strict=True):
        assert all(np.array_equal(a.weights[name], b.weights[name]) for name in a.weights)
        assert a.history.equals(b.history)
    assert not np.array_equal(first[0].weights["encoder_1_weight"], other[0].weights["encoder_1_weight"])


def test_stacked_models_equal_models_one_by_one(
    data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only rounding differs between one stack of three and three stacks of one."""
    together = fit(*data)
    monkeypatch.setattr("scdash.paired.stacks.STACK_BYTES", 0)
    alone = fit(*data)
    for a, b in zip(together, alone, strict=True):
        assert a.selected.tolist() == b.selected.tolist()
        for name in a.weights:
            np.testing.assert_allclose(a.weights[name], b.weights[name], atol=2e-4)


def test_joblib_spreads_stacks_over_workers(data: tuple[np.ndarray, np.ndarray]) -> None:
    plain = fit(*data)
    with joblib.parallel_config("threading", n_jobs=2):
        spread = fit(*data)
    assert [f.fold.name for f in spread] == [f.fold.name for f in plain]
    for a, b in zip(plain, spread, strict=True):
        np.testing.assert_allclose(a.weights["features_2_weight"], b.weights["features_2_weight"], atol=2e-4)


@pytest.mark.parametrize("standardize", ["train", "none"])
def test_test_cells_leave_no_trace(data: tuple[np.ndarray, np.ndarray], standardize: str) -> None:
    """Whatever stands in the held-out cells, scaling, clusters, genes and weights stay the same."""
    x, y = data
    fold = Fold("0", np.arange(70), np.arange(70, 90))
    clean = fit(x, y, [fold], standardize=standardize)[0]
    x, y = x.copy(), y.copy()
    x[70:] = 50 * x[70:] + 7
    y[70:] = -30 * y[70:]
    spoilt = fit(x, y, [fold], standardize=standardize)[0]
    assert clean.selected.tolist() == spoilt.selected.tolist()
    assert all(np.array_equal(clean.weights[name], spoilt.weights[name]) for name in clean.weights)
    np.testing.assert_array_equal(clean.y_scale.mean, spoilt.y_scale.mean)
    assert not np.allclose(clean.history["test_r2"].iloc[-3], spoilt.history["test_r2"].iloc[-3])


def test_standardising_on_all_cells_leaks(data: tuple[np.ndarray, np.ndarray]) -> None:
    """The released code's way is there for comparison, and the test above would catch it."""
    x, y = data
    fold = Fold("0", np.arange(70), np.arange(70, 90))
    clean = fit(x, y, [fold], standardize="all")[0]
    x = x.copy()
    x[70:] *= 50
    assert not np.allclose(clean.x_scale.scale, fit(x, y, [fold], standardize="all")[0].x_scale.scale)


def test_each_stage_moves_what_it_should(data: tuple[np.ndarray, np.ndarray]) -> None:
    run = trainer(*data)

    def weights() -> list[torch.Tensor]:
        return [layer.weight.clone() for layer in [*run.networks.encoder, *run.networks.features]]

    def moved(before: list[torch.Tensor]) -> list[bool]:
        return [not torch.equal(a, b) for a, b in zip(before, weights(), strict=True)]

    with torch.no_grad():
        before = weights()
        run.pretrain()
        assert moved(before) == [True, True, True, True, True, False]  # the new output layer is untouched
        before = weights()
        run.frozen()
        assert moved(before) == [False, False, True, True, True, True]
        before = weights()
        run.unfrozen()
        assert moved(before) == [True] * 6
        first = run.networks.encoder[0].weight.clone()
        norms = group_norms(first)
        inputs = run.prune()
        assert run.networks.selected is not None
        for r in range(2):
            largest = np.argsort(-norms[r].numpy(), kind="stable")[:5]
            assert run.networks.selected[r].tolist() == largest.tolist()
            torch.testing.assert_close(run.networks.encoder[0].weight[r], first[r, largest])
        run.tune(inputs)
        before = weights()
        run.autoencode()
        assert moved(before) == [False] * 6


def test_frozen_stage_without_frozen_layers_is_plain_regression(data: tuple[np.ndarray, np.ndarray]) -> None:
    run = trainer(*data, schedule=replace(SMALL, n_frozen=0))
    before = run.networks.encoder[0].weight.clone()
    with torch.no_grad():
        run.frozen()
    assert not torch.equal(before, run.networks.encoder[0].weight)


def test_cached_bottom_layers_are_the_bottom_layers(data: tuple[np.ndarray, np.ndarray]) -> None:
    """Freezing three layers and computing them once equals a network whose encoder never moves."""
    run = trainer(*data, schedule=replace(SMALL, n_frozen=3))
    encoder = [layer.clone() for layer in run.networks.encoder]
    with torch.no_grad():
        run.frozen()
    for old, new in zip(encoder, run.networks.encoder, strict=True):
        assert torch.equal(old.weight, new.weight)
        assert torch.equal(old.bias, new.bias)


def test_pretraining_starts_from_the_best_or_the_last_epoch(data: tuple[np.ndarray, np.ndarray]) -> None:
    """A rate that makes validation worse at once: "best" keeps the first epoch, "last" the last."""
    wild = replace(SMALL, pretrain_rate=0.3, pretrain_epochs=6, lasso=0.0)
    runs = {}
    for start in ("best", "last"):
        run = trainer(*data, schedule=replace(wild, start_from=start))
        with torch.no_grad():
            run.pretrain()
        runs[start] = run
    losses = np.array([row["validation_loss"] for row in runs["best"].networks.history]).reshape(6, 2)
    best = losses.argmin(axis=0)
    assert (best < 5).any()
    one = replace(wild, pretrain_epochs=int(best[0]) + 1, start_from="last")
    stopped = trainer(*data, schedule=one)
    with torch.no_grad():
        stopped.pretrain()
    kept = runs["best"].networks.encoder[0].weight[0]
    torch.testing.assert_close(kept, stopped.networks.encoder[0].weight[0], rtol=0, atol=0)
    assert not torch.equal(runs["best"].networks.encoder[0].weight, runs["last"].networks.encoder[0].weight)


def test_lasso_shrinks_the_first_layer_until_pruning(data: tuple[np.ndarray, np.ndarray]) -> None:
    long = replace(SMALL, pretrain_epochs=0, frozen_epochs=0, unfrozen_epochs=30, unfrozen_rate=3e-3)
    strong, none = (fit(*data, schedule=replace(long, lasso=lasso))[0].norms for lasso in (0.1, 0.0))
    assert np.median(strong) < 0.3 * np.median(none)


def test_history_has_every_epoch_of_every_model(data: tuple[np.ndarray, np.ndarray]) -> None:
    fits = fit(*data)
    for found in fits:
        assert found.history["epoch"].tolist() == list(range(1, SMALL.total_epochs + 1))
        counts = found.history["stage"].value_counts().to_dict()
        assert counts == {"pretrain": 3, "frozen": 2, "unfrozen": 3, "tuning": 3, "autoencoder": 2}
        assert set(found.history["model"]) == {found.fold.name}


def test_last_epochs_test_r2_is_that_of_the_fitted_network(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    for found in fit(x, y, autoencoder=False):
        test = found.fold.test
        said = found.predict(x[test][:, found.selected]).features
        expected = multivariate_r2(found.y_scale.apply(y[test]), said)
        assert found.history["test_r2"].iloc[-1] == pytest.approx(expected, abs=1e-5)


def test_sparse_equals_dense(data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data
    x = np.where(x > 0.7, x, 0)
    dense = fit(x, y)[0]
    monkeypatch.setattr("scdash.paired.stacked_inputs.DENSE_BYTES", 0)  # never densified whole
    sparse = fit(sp.csr_matrix(x), y)[0]
    assert dense.selected.tolist() == sparse.selected.tolist()
    np.testing.assert_allclose(dense.weights["encoder_0_weight"], sparse.weights["encoder_0_weight"], atol=2e-4)


def test_missing_entries_carry_no_weight(data: tuple[np.ndarray, np.ndarray]) -> None:
    """The loss of a batch with gaps is the mean over known entries, whatever stands in the gaps."""
    x, y = data
    gaps = y.copy()
    gaps[::7, 1] = np.nan
    run = trainer(x, gaps)
    index = torch.arange(20).expand(2, -1)
    output = torch.randn(2, 20, 3, generator=torch.Generator().manual_seed(0))
    output.requires_grad_()
    loss = run.targets.loss(output, index, None)
    loss.sum().backward()
    assert output.grad is not None
    for r, scale in enumerate(run.y_scales):
        known = ~np.isnan(gaps[:20])
        residual = (output[r].detach().numpy() - scale.apply(gaps[:20]))[known]
        assert float(loss[r]) == pytest.approx(np.mean(residual**2), rel=1e-5)
        assert not output.grad[r].numpy()[~known].any()
    assert all(np.isfinite(found.weights["features_2_weight"]).all() for found in fit(x, gaps))


def test_clusters_are_made_of_training_cells_only(data: tuple[np.ndarray, np.ndarray]) -> None:
    run = trainer(*data)
    labels = pretrain_labels(run.targets, run.folds, 4, run.streams)
    for own, fold in zip(labels, run.folds, strict=True):
        assert set(own[fold.train]) == {0, 1, 2, 3}
        assert not own[fold.test].any()


def test_relabelling_genes_relabels_the_selection() -> None:
    """A strong signal is found wherever it stands: selection does not depend on the order of genes."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 20))
    y = np.stack([x[:, 3] + x[:, 8], x[:, 3] - x[:, 8]], axis=1)
    schedule = replace(SMALL, unfrozen_epochs=40, unfrozen_rate=2e-3, pretrain_epochs=0, frozen_epochs=0)
    whole = [Fold("0", np.arange(200), np.zeros(0, np.intp))]
    order = rng.permutation(20)
    plain = fit(x, y, whole, schedule=schedule, n_features=2)[0]
    moved = fit(x[:, order], y, whole, schedule=schedule, n_features=2)[0]
    assert set(plain.selected) == {3, 8}
    assert set(order[moved.selected]) == {3, 8}


def test_a_loss_that_explodes_is_named(data: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(NonFiniteError, match=r"stage 'frozen', epoch \d+. Lower frozen_rate"):
        fit(*data, schedule=replace(SMALL, frozen_rate=1e30))


def test_unknown_device_is_named(data: tuple[np.ndarray, np.ndarray]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ValueError, match="torch finds no CUDA device"):
        fit(*data, device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_cuda_learns_what_the_cpu_learns(data: tuple[np.ndarray, np.ndarray]) -> None:
    cpu, cuda = (fit(*data, device=device)[0] for device in ("cpu", "cuda"))
    assert cpu.selected.tolist() == cuda.selected.tolist()
    np.testing.assert_allclose(cpu.weights["encoder_0_weight"], cuda.weights["encoder_0_weight"], atol=1e-3)
