"""Couplings between sampled times: marginals of transport, what given ones must be, and where groups of cells are followed to."""

import numpy as np
import pytest
import scipy.sparse as sp

from scdash._data.time_series.couplings import TimedCells, couple, follow_groups, optimal_transport
from scdash._data.time_series.given_couplings import read_couplings

TIMES = np.array([0.0, 0.0, 24.0, 24.0, 24.0, 48.0])
LABELS = ["0h", "0h", "24h", "24h", "24h", "48h"]


def given(**changes):
    found = {(0, 24): np.ones((2, 3)), (24, 48): sp.csr_matrix(np.ones((3, 1)))}
    return found | changes


def test_given_couplings_stand_at_the_rows_of_their_cells():
    found = read_couplings(
        {("0h", "24h"): np.arange(6).reshape(2, 3), (24, 48): np.ones((3, 1))}, LABELS, TIMES, "hours"
    )
    assert set(found) == {(0, 1), (1, 2)}
    np.testing.assert_allclose(found[0, 1].toarray()[:2, 2:5], np.arange(6).reshape(2, 3) / 15)
    assert found[0, 1].shape == (6, 6) and found[0, 1].sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("couplings", "message"),
    [
        ({(0, 24): np.ones((3, 2)), (24, 48): np.ones((3, 1))}, r"\(0, 24\).*shape \(3, 2\); needed is \(2, 3\)"),
        ({(0, 24): np.ones((2, 3))}, r"lacks \(24, 48\)"),
        ({(0, 30): np.ones((2, 3))}, "no cell has the time 30; times are 0, 24, 48"),
        ({(24, 0): np.ones((3, 2))}, "later than the first"),
        ({(0, 24): -np.ones((2, 3)), (24, 48): np.ones((3, 1))}, "finite mass"),
        ({(0, 24): np.zeros((2, 3)), (24, 48): np.ones((3, 1))}, "finite mass"),
        ({(0, 24): np.full((2, 3), np.nan), (24, 48): np.ones((3, 1))}, "finite mass"),
    ],
)
def test_other_couplings_are_refused(couplings, message):
    with pytest.raises(ValueError, match=message):
        read_couplings(couplings, LABELS, TIMES, "hours")


def test_couplings_are_a_mapping_of_pairs():
    with pytest.raises(TypeError, match="mapping of"):
        read_couplings(np.ones((2, 3)), LABELS, TIMES, "hours")
    with pytest.raises(TypeError, match=r"every key must be \(time, next time\)"):
        read_couplings({24: np.ones((2, 3))}, LABELS, TIMES, "hours")


def two_kinds(seed=0, sizes=(40, 30, 24)):
    """Cells of two kinds that stay apart over three times: kind a rises in gene 0, kind b in gene 1."""
    rng = np.random.default_rng(seed)
    kinds = [np.arange(cells) % 2 for cells in sizes]
    values = [np.eye(2)[kind] * (1 + k) + rng.normal(0, 0.02, (len(kind), 2)) for k, kind in enumerate(kinds)]
    ends = np.cumsum(sizes)
    rows = [np.arange(end - cells, end) for cells, end in zip(sizes, ends, strict=True)]
    return TimedCells(
        rows, values, [np.full(cells, 1 / cells) for cells in sizes], [kind * 0.5 for kind in kinds]
    ), kinds


def test_transport_keeps_kinds_together():
    pytest.importorskip("ot")
    cells, kinds = two_kinds()
    for k, coupling in enumerate(couple(cells, [0, 1, 2], None, np.random.default_rng(0))):
        same = kinds[k][:, None] == kinds[k + 1][None]
        assert coupling[same].sum() > 0.95 * coupling.sum()


def test_transport_lets_cells_multiply():
    pytest.importorskip("ot")
    first = np.array([[0.0, 0], [9, 0]])
    second = np.array([[0.0, 0.1], [0.1, 0], [0, 0], [9, 0]])
    coupling = optimal_transport(first, second, np.full(2, 0.5), np.full(4, 0.25))
    grown = coupling.sum(axis=1)
    assert grown[0] > 1.5 * grown[1]


@pytest.mark.parametrize("source", ["transport", "given"])
def test_groups_are_followed_to_their_own_descendants_and_ancestors(source):
    pytest.importorskip("ot")
    cells, kinds = two_kinds()
    own = None
    if source == "given":
        kind = np.concatenate(kinds)
        same = sp.csr_matrix((kind[:, None] == kind[None]) * 1.0)
        own = {(0, 1): same, (1, 2): same}
    rng = np.random.default_rng(1)
    for kept in ([0, 1, 2], [0, 2]):
        groups, ahead = follow_groups(cells, kept, couple(cells, kept, own, rng), rng, groups=12)
        assert groups.shape == (12, len(kept), 2)
        assert ahead.shape == (12, len(kept))
        side = groups[:, 0, 0] > groups[:, 0, 1]
        assert 0 < side.sum() < 12
        np.testing.assert_allclose(ahead[~side], 0.5, atol=0.1)  # those of the second kind are ahead
        np.testing.assert_allclose(ahead[side], 0, atol=0.1)
        for k, time in enumerate(kept):
            np.testing.assert_allclose(groups[side, k], np.tile([1.0 + time, 0], (side.sum(), 1)), atol=0.2)
            np.testing.assert_allclose(groups[~side, k], np.tile([0, 1.0 + time], ((~side).sum(), 1)), atol=0.2)
