"""Refits of every gene's own regulators: the full problem with all other effects held at zero."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from scdash.regression import TransitionSettings
from scdash.regression import linear_fits as _linear
from scdash.regression.l1_paths import l1_path
from scdash.regression.problems import Regression


@pytest.mark.parametrize("entries", [20_000_000, 1])  # all genes at once, or one by one
@pytest.mark.parametrize("standardize", [True, False])
def test_refit_on_the_support_is_the_masked_problem(
    entries: int, standardize: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_linear, "ENTRIES_AT_ONCE", entries)
    rng = np.random.default_rng(0)
    rows, regulators, genes = 60, 12, 9
    targets = np.array([8, 0, 1, 2, 3, 5, 7])
    regressions, problems = [], []
    for _ in range(2):
        fitted = rng.random(rows) < 0.8
        x, y = rng.random((rows, regulators)), rng.random((rows, genes))
        regressions.append(Regression(x, y, rng.random(rows) + 0.5, fitted, ~fitted))
        problems.append(SimpleNamespace(penalty=rng.choice([0.1, 1.0], (regulators, genes))))
    support = rng.random((len(targets), regulators)) < np.linspace(0, 0.9, len(targets))[:, None]  # none to nearly all
    effects = sp.csr_array(support.astype(float))
    effects.data[0] = 0  # stored, but no effect
    level = rng.uniform(0.005, 0.05, len(targets))
    setup = SimpleNamespace(targets=targets, settings=TransitionSettings(standardize=standardize))

    found = _linear._on_support(effects, regressions, setup, problems, level)

    allowed = (effects.toarray() != 0).T
    some = 0
    for number, (regression, problem) in enumerate(zip(regressions, problems, strict=True)):
        m = regression.moments(targets, standardize=standardize)
        solved = l1_path(
            m.gram, m.cross(), level[None], penalty=problem.penalty[:, targets], allowed=allowed, tol=1e-9
        )[0]
        raw, intercept = m.unscale(solved, slice(None))
        some += np.count_nonzero(raw)
        np.testing.assert_allclose(found.effects[number].toarray(), raw.T, atol=1e-5)
        np.testing.assert_allclose(found.intercepts[number], intercept, atol=1e-5)
    assert some > 20
