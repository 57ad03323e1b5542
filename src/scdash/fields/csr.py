"""Sparse CSR tensors, made in this one place."""

import warnings

import torch
from torch import Tensor


def csr_tensor(start: Tensor, index: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return a CSR tensor of rows `start`, columns `index` and `values`, on the device and of the type of `values`.

    torch says once in a process that these tensors are a beta, to whoever makes the first. Users can do nothing about
    it, and the tests compare every product with a dense one.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*CSR.*")
        return torch.sparse_csr_tensor(start, index, values, size=shape, check_invariants=False)
