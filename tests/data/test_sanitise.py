"""What the sanitiser returns is what comes back from disk; what it cannot store it refuses, saying where."""

import datetime
import enum
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scdash._data import sanitise


class Colour(enum.Enum):
    RED = "red"


@dataclass(frozen=True)
class Option:
    lam: float
    names: tuple[str, ...]


def same(a, b):
    """Equal in value and kind; scalars may come back as NumPy scalars."""
    if isinstance(a, dict):
        assert isinstance(b, dict) and set(a) == set(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b, check_dtype=False, check_index_type=False, check_column_type=False)
    elif sp.issparse(a):
        assert sp.issparse(b) and (a != b).nnz == 0 and a.dtype == b.dtype
    elif isinstance(a, np.ndarray):
        assert isinstance(b, np.ndarray) and a.shape == b.shape
        np.testing.assert_array_equal(a, b)
        assert a.dtype.kind == "O" or a.dtype == b.dtype
    else:
        assert (a is None and b is None) or (a == b or (a != a and b != b))


def round_trips(value, folder):
    clean = sanitise(value)
    adata = ad.AnnData(np.ones((2, 2), np.float32))
    adata.uns["dynamics"] = {"value": clean}
    adata.write_h5ad(folder / "a.h5ad")
    same(clean, ad.read_h5ad(folder / "a.h5ad").uns["dynamics"]["value"])
    adata.write_zarr(folder / "a.zarr")
    same(clean, ad.read_zarr(folder / "a.zarr").uns["dynamics"]["value"])
    return clean


FRAME = pd.DataFrame(
    {"n": [1, 2], "x": [0.5, np.nan], "flag": [True, False], "text": ["a", "b"], "gap": ["a", None], 3: [1.0, 2.0]},
    index=[10, 11],
)
FRAME["kind"] = pd.Categorical(["u", "v"])
FRAME["maybe"] = pd.array([1, None], dtype="Int64")

VALUES = {
    "scalars": {"a": 1, "b": 1.5, "c": "text", "d": True, "e": None, "f": float("nan"), "empty": ""},
    "numpy": {"a": np.float32(1.5), "b": np.int64(3), "c": np.bool_(True), "d": np.str_("x"), "e": np.array(2.0)},
    "tuple": (1.0, 2),
    "words": ("a", "b"),
    "set": {3, 1, 2},
    "range": range(4),
    "empty": [],
    "nested": [[1, 2], [3, 4]],
    "arrays": [np.ones(2), np.zeros(2)],
    "mappings": OrderedDict(a=defaultdict(int, b=1), c=MappingProxyType({"d": 2}), e={1: "int key"}),
    "enum_path_date": {"a": Colour.RED, "b": Path("x") / "y", "c": datetime.date(2026, 11, 1)},
    "dataclass": Option(0.5, ("a", "b")),
    "float16": np.ones(3, np.float16),
    "text_array": np.array(["a", "bcd"]),
    "times": np.array(["2026-11-01"], dtype="datetime64[D]"),
    "coo": sp.coo_matrix(np.eye(3)),
    "csc_array": sp.csc_array(np.eye(3)),
    "series": pd.Series([1.0, 2.0]),
    "index": pd.Index(["g1", "g2"]),
    "frame": FRAME,
    "list_of_frames": {"a": {"b": FRAME[["n"]]}},
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.filterwarnings("ignore:.*zarr v2.*", "ignore::UserWarning:zarr", "ignore::FutureWarning")
def test_round_trip(name, tmp_path):
    round_trips(VALUES[name], tmp_path)


def test_tensors_become_arrays(tmp_path):
    torch = pytest.importorskip("torch")
    clean = sanitise({"w": torch.nn.Parameter(torch.ones(2, 3)), "s": torch.tensor(1.5)})
    assert isinstance(clean["w"], np.ndarray) and clean["w"].shape == (2, 3) and clean["s"] == 1.5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a/b": 1}, "'a/b' cannot be stored"),
        ({"": 1}, "cannot be stored"),
        ({(1, 2): 1}, "keys must be strings"),
        ({"a": [1, None]}, r"uns\['a'\]: a list may not hold None"),
        ({"a": [1, "x"]}, "mixed types"),
        ({"a": [[1], [1, 2]]}, "ragged"),
        ({"a": [{"b": 1}]}, "list of dict"),
        ({"a": {"b": len}}, r"uns\['a'\]\['b'\] holds a builtin"),
        ({"a": b"x"}, "holds a bytes"),
        ({"a": 1j}, "holds a complex"),
        ({"a": np.ones(2, complex)}, "complex128"),
        ({"a": 2**70}, "64 bits"),
        ({"a": np.array([1, "x", None], dtype=object)}, "object array"),
        ({"a": pd.DataFrame({"x": [1, object()]})}, "mixed objects"),
        ({"a": pd.DataFrame({("x", "y"): [1]})}, "MultiIndex"),
        ({"a": np.random.default_rng(0)}, "Generator"),
    ],
)
def test_refused_with_its_place(value, text):
    with pytest.raises((TypeError, ValueError), match=text):
        sanitise(value)


scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(), st.text("abcß ", max_size=5))
trees = st.recursive(
    scalars, lambda kids: st.dictionaries(st.text("abcde_", min_size=1, max_size=4), kids, max_size=3), max_leaves=8
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees)
def test_any_tree_of_scalars_is_left_as_it_is_and_survives_h5ad(tmp_path, tree):
    clean = sanitise({"tree": tree})
    same({"tree": tree}, clean)
    adata = ad.AnnData(np.ones((2, 2), np.float32))
    adata.uns["dynamics"] = clean
    adata.write_h5ad(tmp_path / "t.h5ad")
    same(clean, dict(ad.read_h5ad(tmp_path / "t.h5ad").uns["dynamics"]))


def test_the_input_is_not_changed():
    value = {"a": [1, 2], "frame": FRAME.copy()}
    sanitise(value)
    assert value["a"] == [1, 2]
    pd.testing.assert_frame_equal(value["frame"], FRAME)
