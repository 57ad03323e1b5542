"""CSR tensors multiply like the matrix they hold, and torch's notice about them reaches nobody."""

import warnings

import pytest
import scipy.sparse as sp
import torch

from scdash.dynamics.state_pairs.train import adjacency
from scdash.fields import csr_tensor


@pytest.fixture
def every_time():
    """Undo torch's "once in a process", so that it does not matter what ran before."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(before)


def test_makes_no_noise_and_multiplies_like_the_dense_matrix(every_time):
    dense = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 3.0], [0.0, 4.0, 0.0]], dtype=torch.float64)
    parts = (
        torch.tensor([0, 1, 1, 3, 4]),
        torch.tensor([1, 0, 2, 1]),
        torch.tensor([2.0, -1, 3, 4], dtype=torch.float64),
    )
    with pytest.warns(UserWarning, match="Sparse CSR"):  # what would be heard otherwise
        torch.sparse_csr_tensor(*parts, size=(4, 3), check_invariants=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = csr_tensor(*parts, (4, 3))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found @ torch.eye(3, dtype=torch.float64), dense)


def test_the_prior_of_the_prior_loss_is_such_a_tensor(every_time):
    prior = sp.random_array((6, 6), density=0.3, rng=0, format="csr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = adjacency(prior, torch.device("cpu"))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found @ torch.eye(6), torch.as_tensor(prior.toarray(), dtype=torch.float32))
