"""Denormal numbers are flushed while training, and only then."""

import numpy as np
import torch

from scdash._core.threads import flushed_denormals


def smallest() -> float:
    return float(torch.full((1,), 1e-30) * 1e-10)


def test_the_setting_is_restored_also_after_an_error():
    before = smallest()
    assert before > 0  # the default of torch
    try:
        with flushed_denormals():
            inside = smallest()
            raise RuntimeError
    except RuntimeError:
        pass
    assert inside in (0.0, before)  # 0 wherever the processor can
    assert smallest() == before


def test_a_setting_of_the_user_is_kept():
    if not torch.set_flush_denormal(True):
        return
    try:
        with flushed_denormals():
            pass
        assert smallest() == 0
    finally:
        torch.set_flush_denormal(False)
    assert np.float32(1e-40) > 0
