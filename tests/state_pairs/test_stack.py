"""Stacks in parts, in other processes, and with workers killed: always the same models."""

import os
import signal
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest

from scdash._core.parallel import spread, spread_all
from scdash.dynamics.lambda_choice import cross_validate_lambdas
from scdash.dynamics.options import FitOptions, recipe
from scdash.dynamics.state_pairs.stacks import bytes_per_model, stack_parts
from scdash.dynamics.state_pairs.start import make_field, random_start


@pytest.fixture(scope="module")
def problem(simulated_problem):
    return simulated_problem(15, 2)


OPTIONS = FitOptions(
    encoder="modules",
    start="random",
    n_hidden=4,
    progress=False,
    training={"max_epochs": 12, "batch_size": 64, "steps": 1},
)
GRID = [(0.0, 0.0), (0.5, 0.5), (0.9, 0.9), (0.2, 0.9), (0.7, 0.1)]  # x 2 folds: 10 models, two parts


def test_processes_change_nothing(problem) -> None:
    serial = cross_validate_lambdas(problem, OPTIONS, grid=GRID, n_folds=2)
    with joblib.parallel_config("loky", n_jobs=2):
        parallel = cross_validate_lambdas(problem, OPTIONS, grid=GRID, n_folds=2)
    pd.testing.assert_frame_equal(parallel, serial, check_exact=True)


def test_parts_change_only_rounding(problem) -> None:
    whole = cross_validate_lambdas(problem, OPTIONS, grid=GRID[:3], n_folds=2)
    tiny = replace(OPTIONS, training=OPTIONS.training | {"max_memory": 1.0})  # one model a part
    pd.testing.assert_frame_equal(cross_validate_lambdas(problem, tiny, grid=GRID[:3], n_folds=2), whole, rtol=1e-4)


def test_parts_keep_within_the_memory_asked_for(problem) -> None:
    field = make_field(problem, OPTIONS, [])
    params = random_start(field, replace(OPTIONS, n_models=5))
    one = bytes_per_model(field, params, recipe(OPTIONS))
    for most, expected in ((10 * one, [5]), (2 * one, [2, 2, 1]), (0.5 * one, [1] * 5)):
        plan = recipe(replace(OPTIONS, training=OPTIONS.training | {"max_memory": most}))
        parts = stack_parts(5, field, params, plan)
        assert sorted((p.stop - p.start for p in parts), reverse=True) == expected
        assert [p.start for p in parts[1:]] == [p.stop for p in parts[:-1]]
    assert one > 4 * 4 * 2 * field.n_genes * field.n_hidden  # weights and their copies


def pieces():
    """Return functions defined inside a function: they travel by value, workers cannot import a test module."""

    def square(number: int, folder: str | None = None) -> int:
        """Take the worker down the first time piece 3 is run."""
        if folder is not None:
            with open(os.path.join(folder, f"{number}"), "a") as file:
                file.write("x")
            if number == 3 and os.path.getsize(os.path.join(folder, "3")) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        return number**2

    def die(number: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return number

    return square, die


def test_a_killed_worker_loses_its_piece_only(tmp_path, caplog: pytest.LogCaptureFixture, tally) -> None:
    with joblib.parallel_config("loky", n_jobs=2):
        found = spread_all(pieces()[0], [(k, str(tmp_path)) for k in range(6)], "squares", progress=False)
    assert found == [k**2 for k in range(6)]
    assert "a worker was lost" in caplog.text
    runs = {k: (tmp_path / str(k)).stat().st_size for k in range(6)}
    assert runs[3] == 2
    assert runs[0] == 1  # finished long before
    tally("workers killed: the piece is run again, or given up by name")


def test_a_piece_that_always_kills_is_given_up(tally) -> None:
    with joblib.parallel_config("loky", n_jobs=2), pytest.raises(RuntimeError, match="terminated"):
        spread_all(pieces()[1], [(0,), (1,)], "deadly", progress=False)
    tally("workers killed: the piece is run again, or given up by name")


def test_errors_of_a_piece_are_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(spread(lambda k: 1 / k, [(0,)]))
    assert dict(spread(lambda k: k + 1, [(1,), (5,)])) == {0: 2, 1: 6}
    assert np.all(spread_all(pieces()[0], [], "nothing") == [])


def test_a_dask_cluster_changes_nothing(problem) -> None:
    distributed = pytest.importorskip("distributed")
    serial = cross_validate_lambdas(problem, OPTIONS, grid=GRID, n_folds=2)
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None)
    with cluster, distributed.Client(cluster), joblib.parallel_config("dask"):
        assert spread_all(pieces()[0], [(k,) for k in range(5)], "squares", progress=False) == [0, 1, 4, 9, 16]
        parallel = cross_validate_lambdas(problem, OPTIONS, grid=GRID, n_folds=2)
    pd.testing.assert_frame_equal(parallel, serial, check_exact=True)
