"""Every call that spreads work gives the same result with every backend of joblib."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import pytest

import scdash

from .cases import COURSE, RETURNING, course, fitted, paired, prior, public, screen_fit
from .same import difference

TIMES = {name: COURSE[name] for name in ("time_key", "trajectory_key")}


def several_models() -> Any:
    adata = course()
    scdash.tl.fit_dynamics(
        adata,
        prior=prior,
        n_models=3,
        training=scdash.Training(max_epochs=2),
        validation=scdash.Validation(null_models=False),
        **COURSE,
    )
    return adata


def cross_validate() -> Any:
    return RETURNING["tl.cross_validate"].call(scdash.tl.cross_validate, course())


def stability_of_dynamics() -> Any:
    return scdash.tl.stability(
        course(),
        n_repeats=2,
        prior=prior,
        training=scdash.Training(max_epochs=0),
        validation=scdash.Validation(null_models=False),
        **TIMES,
    )


def stability_of_a_screen() -> Any:
    return scdash.tl.stability(screen_fit(), n_repeats=2)


def influence() -> Any:
    adata = fitted()
    scdash.tl.gene_influence(adata, n_starts=3, progress=False)
    return adata


def paired_folds() -> Any:
    return RETURNING["tl.cross_validate_sbnn"].call(public("tl.cross_validate_sbnn"), paired())


def paired_repeats() -> Any:
    return RETURNING["tl.stability"].call(public("tl.stability"), paired())


CALLS = (
    several_models, cross_validate, stability_of_dynamics, stability_of_a_screen, influence, paired_folds,
    paired_repeats,
)  # fmt: skip


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before, scdash.settings.verbosity = scdash.settings.verbosity, 0
    yield
    scdash.settings.verbosity = before


@cache
def alone(call: Callable[[], Any]) -> Any:
    return call()


@pytest.mark.parametrize(
    "backend",
    ["sequential", "threading", "multiprocessing"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("loky", "dask", "ray")],
)
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_results_do_not_depend_on_the_backend(
    call: Callable[[], Any], backend: str, joblib_backend: Callable[[str], AbstractContextManager[None]]
) -> None:
    with joblib_backend(backend):
        found = call()
    # bottleneck networks are stacked by the number of workers, and a stack of another size is summed in another order
    tolerance = 1e-4 if call in (paired_folds, paired_repeats) else 0.0
    assert difference(alone(call), found, tolerance=tolerance) is None
