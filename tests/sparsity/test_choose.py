"""The one-standard-error rule against an example worked by hand."""

import numpy as np
import pandas as pd
import pytest

from scdash.sparsity import choose_one_standard_error


def _table(**errors: list[float]) -> pd.DataFrame:
    rows = [{"level": float(k[1:]) / 100, "validation_mse": e} for k, es in errors.items() for e in es]
    return pd.DataFrame(rows)


def test_the_sparsest_level_within_one_standard_error_of_the_best_is_chosen() -> None:
    # best: .75 with mean 2 and standard error sd/sqrt(3) = 1/sqrt(3); .9 (2.5) is within it, .95 (2.7) is not
    table = _table(l50=[2.2, 2.2, 2.2], l75=[1.0, 2.0, 3.0], l90=[2.5, 2.5, 2.5], l95=[2.7, 2.7, 2.7])
    assert choose_one_standard_error(table) == 0.9


def test_one_repeat_has_no_standard_error_and_failed_levels_are_left_out() -> None:
    assert choose_one_standard_error(_table(l50=[1.0], l75=[1.1])) == 0.5
    assert choose_one_standard_error(_table(l50=[1.0], l75=[0.5, np.nan])) == 0.5
    with pytest.raises(ValueError, match="^table holds no level with finite .*diverging\\?$"):
        choose_one_standard_error(_table(l50=[np.nan]))
    with pytest.raises(ValueError, match="validation_mse"):
        choose_one_standard_error(pd.DataFrame({"level": [0.5]}))
