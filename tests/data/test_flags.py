"""Columns of flags: what is read, what counts as missing, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from scdash._data.labels import holds_flags, read_flags


@pytest.mark.parametrize(
    "values",
    [
        [True, False, True],
        np.array([1, 0, 1]),
        np.array([1.0, 0.0, 1.0]),
        ["True", "False", "True"],
        ["true", "FALSE", " True "],
        pd.Categorical(["True", "False", "True"]),
        pd.Categorical([True, False, True]),
        pd.array([True, False, True], dtype="boolean"),
        pd.Series([True, False, True], dtype=object),
        pd.array(["True", "False", "True"], dtype="string"),
        np.array(["1", "0", "1"]),
    ],
)
def test_every_form_of_flags_reads_the_same(values):
    assert read_flags(values, "c").tolist() == [True, False, True]
    assert holds_flags(values)


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([True, False, np.nan], dtype=object),
        pd.Series([True, False, None], dtype=object),
        pd.array([True, False, pd.NA], dtype="boolean"),
        np.array([1.0, 0.0, np.nan]),
        pd.Series(["True", "False", np.nan]),
        ["True", "False", ""],
        pd.Categorical(["True", "False", None]),
        ["True", "False", "nan"],
    ],
)
def test_missing_is_not_flagged_and_is_counted(values, caplog):
    with caplog.at_level("INFO", logger="scdash"):
        assert read_flags(values, "var['is_tf']").tolist() == [True, False, False]
    assert "var['is_tf'] is missing for 1 of 3" in caplog.text


@pytest.mark.parametrize(
    ("values", "found"),
    [(["yes", "no", "yes"], "'no'"), ([0.0, 1.0, 2.0], "'2.0'"), ([0, 5, 1], "'5'"), (["TF", "", "TF"], "'TF'")],
)
def test_other_columns_are_refused_by_name(values, found):
    with pytest.raises(TypeError, match=f"var\\['is_tf'\\] must hold flags.*{found}"):
        read_flags(values, "var['is_tf']")
    assert not holds_flags(values)
