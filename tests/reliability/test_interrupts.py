"""Ctrl-C at any moment: what has been learned is kept, and what has not leaves nothing behind."""

import numpy as np
import pytest
import torch

import scdash

HOW = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split", "progress": False}
LONG = {"start": "random", "sparsity": "imp", "training": scdash.Training(max_epochs=30)}


def held(adata):
    """Return the names of everything in an AnnData."""
    slots = ("obs", "var", "uns", "obsm", "varm", "obsp", "varp", "layers")
    return {slot: sorted(str(name) for name in getattr(adata, slot)) for slot in slots}


@pytest.fixture
def interrupt_at(monkeypatch):
    """Press Ctrl-C in the middle of an epoch."""
    from scdash.training.state_pairs import StatePairs

    differentiate = StatePairs.differentiate

    def press(epoch):
        def batch(run, rows):
            if run.state.epoch == epoch and run.state.step % 2:
                raise KeyboardInterrupt
            return differentiate(run, rows)

        monkeypatch.setattr(StatePairs, "differentiate", batch)

    return press


def test_an_interrupted_fit_is_kept_and_usable(course, interrupt_at, tmp_path, tally):
    interrupt_at(20)
    scdash.tl.fit_dynamics(course, **HOW, **LONG)
    assert "interrupted after epoch 20" in scdash.get.report(course).attrs["summary"]
    assert len(scdash.get.history(course)) == 20
    assert scdash.tl.perturb(course, course.var_names[0]).n_obs > 0
    course.write_h5ad(tmp_path / "fit.h5ad")
    tally("interrupts: a usable model is kept")


def test_a_fit_interrupted_before_its_sparsity_keeps_the_denser_model(course, interrupt_at, caplog, tally):
    interrupt_at(3)  # nothing is pruned before epoch 4, and no earlier model would have been returned
    with caplog.at_level("WARNING", logger="scdash"):
        scdash.tl.fit_dynamics(course, **HOW, **LONG)
    assert "denser models are kept" in caplog.text
    weights = scdash.get.model(course).state_dict().values()
    assert all(bool(torch.isfinite(value).all()) for value in weights)
    history = scdash.get.history(course)
    assert scdash.metrics.sparsity(course) == pytest.approx(history["sparsity"].iloc[-1], abs=0.02)
    tally("interrupts: a usable model is kept")


def test_an_interrupt_before_there_is_a_model_says_so_and_changes_nothing(
    course, interrupt_at, monkeypatch, caplog, tally
):
    """Before the first epoch, and while matching."""
    before = course.copy()
    interrupt_at(0)
    for options in (LONG, {}):
        with pytest.raises(KeyboardInterrupt), caplog.at_level("WARNING", logger="scdash"):
            scdash.tl.fit_dynamics(course, **HOW, **options)
        assert "interrupted before there was a result: nothing was written" in caplog.text
        assert held(course) == held(before) and np.array_equal(course.X, before.X)
        caplog.clear()
        tally("interrupts: nothing to keep yet, said so, data unchanged")
        monkeypatch.setattr("scdash.dynamics.state_pairs.regression_fits.fit_transitions", interrupted)


def interrupted(*arguments, **options):
    raise KeyboardInterrupt


def test_an_interrupt_of_the_comparison_costs_the_verdict_not_the_model(monkeypatch, caplog, tally):
    cells = scdash.datasets.hsmm()[:, :40].copy()
    scdash.pp.order_cells(cells, root=("hours", 0))
    monkeypatch.setattr("scdash.dynamics.comparisons.null_models.fit_chosen", interrupted)
    with caplog.at_level("WARNING", logger="scdash"):
        scdash.tl.fit_dynamics(cells, progress=False, training=scdash.Training(max_epochs=5))
    assert "the model is kept, without a verdict" in caplog.text
    report = scdash.get.report(cells)
    assert "the fits of null models were interrupted" in report.attrs["summary"] and report.attrs["verdict"] == {}
    assert {"model", "constant", "persistence"} <= set(report["predictor"])
    assert scdash.tl.perturb(cells, cells.var_names[0]).n_obs > 0
    tally("interrupts: a usable model is kept")


def test_an_interrupted_transport_is_kept(monkeypatch, caplog, tally):
    import scanpy as sc

    from scdash.screens.transport.fit import TransportObjective

    screen = scdash.simulate.sergio(
        genes=8, n_edges=8, n_perturbations=5, n_targets=1, cells_per_perturbation=20, rng=0
    )
    sc.pp.log1p(screen)
    differentiate = TransportObjective.differentiate

    def press(run, step):
        if step == 25:
            raise KeyboardInterrupt
        differentiate(run, step)

    monkeypatch.setattr(TransportObjective, "differentiate", press)
    with caplog.at_level("WARNING", logger="scdash"):
        scdash.tl.fit_perturbode(
            screen, model=scdash.models.PerturbODE(fit=scdash.models.Transport(steps=100, check_every=10))
        )
    assert "transport interrupted at step 26: the best model so far is kept" in caplog.text
    assert scdash.get.history(screen)["epoch"].tolist() == [10, 20]
    assert np.isfinite(np.asarray(scdash.tl.predict_perturbations(screen, [screen.var_names[0]]).X)).all()
    tally("interrupts: a usable model is kept")
