"""Numbers below 1e-38 are rounded to zero while training: x86 processors handle them 100 times slower than others."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Round denormal numbers to zero in this thread, and restore what was set before.

    Moments of Adam decay by a constant factor where the gradient is exactly zero (pruned weights, genes that have
    stopped changing): after some 800 steps they are denormal, and an epoch takes twice as long.
    """
    import torch

    # 1e-40 is denormal; torch has no way to ask for the setting. Where the processor has none, nothing changes.
    already = bool((torch.full((1,), 1e-30) * 1e-10 == 0).all())
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already)
