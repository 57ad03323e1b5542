"""Missing labels: one rule for every column of labels."""

import numpy as np
import pandas as pd
import pytest

from scdash._data import group_codes, read_labels
from scdash._data.split import split_codes

MISSING = [np.nan, None, pd.NA, "", "  ", "\t", "nan", "NaN", "None", "<NA>"]


@pytest.mark.parametrize("missing", MISSING, ids=repr)
@pytest.mark.parametrize("kind", ["object", "category"])
def test_a_missing_label_is_no_group(missing, kind):
    labels = pd.Series(["b", missing, "a", "b"], dtype=object).astype(kind)
    codes, names = group_codes(labels, "l", missing=True)
    assert names == ("a", "b") and codes.tolist() == [1, -1, 0, 1]
    with pytest.raises(ValueError, match="no value for 1 of 4"):
        group_codes(labels, "l")


def test_a_label_that_the_caller_names_is_kept():
    assert read_labels(["None", "A"], keep=["None"]).tolist() == ["None", "A"]
    assert read_labels(["None", "A"]).isna().tolist() == [True, False]


def test_categories_keep_their_order_and_numbers_become_texts():
    labels = pd.Categorical(["x", "y"], categories=["z", "y", "", "x"])
    assert list(read_labels(labels).cat.categories) == ["y", "x"]
    assert read_labels(pd.Series([2, 10, 2])).tolist() == ["2", "10", "2"]


def test_a_split_that_is_missing_has_code_minus_one():
    assert split_codes(["train", "", "test", np.nan, "validation"]).tolist() == [0, -1, 2, -1, 1]
    with pytest.raises(ValueError, match="Did you mean 'train'"):
        split_codes(["trian", "train"])
