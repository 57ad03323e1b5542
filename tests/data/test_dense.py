import numpy as np
import pytest
import scipy.sparse as sp

from scdash._data import as_dense

VALUES = np.array([[0, 1, 0], [2, 0, 0]])


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_array, sp.coo_array])
@pytest.mark.parametrize("stored", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("asked", [None, np.float32, np.float64])
def test_every_form_becomes_the_same_array(form, stored, asked):
    found = as_dense(form(VALUES.astype(stored)), asked)
    assert type(found) is np.ndarray
    assert found.dtype == (stored if asked is None else asked)
    np.testing.assert_array_equal(found, VALUES)


def test_an_array_is_passed_through():
    block = VALUES.astype(np.float32)
    assert as_dense(block) is block
    assert as_dense(block, np.float32) is block
