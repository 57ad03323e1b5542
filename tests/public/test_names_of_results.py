"""Names of groups are unique whatever labels hold, and every name of a result goes through one check."""

import inspect

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import scdash
from scdash._core.labels import check_key, group_names, resampled_names, unique_names

from .cases import NEED_CELLRANK

LABELS = st.text(alphabet="ab:#|/ ()2", max_size=5)


@given(st.lists(LABELS, max_size=8), st.lists(LABELS, max_size=4))
def test_names_are_unique_and_new(names, taken):
    found = unique_names(names, taken)
    assert len(set(found)) == len(names) and not set(found) & set(taken)
    for name in set(names) - set(taken):
        assert found[names.index(name)] == name  # the first of its name keeps it


@given(st.lists(st.tuples(LABELS, LABELS), max_size=8, unique=True))
@example([("a:b", "c"), ("a", "b:c")])
def test_groups_of_different_labels_have_different_names(groups):
    columns = list(zip(*groups, strict=True)) or [[], []]
    assert len(set(group_names(columns))) == len(groups)


@given(st.lists(LABELS, min_size=1, max_size=5, unique=True), st.integers(0, 3))
def test_resampled_trajectories_have_names_of_their_own(names, n_draws):
    found = resampled_names(names, n_draws)
    assert found[0] == tuple(names) and len(found) == n_draws + 1
    assert len({name for draw in found for name in draw}) == len(names) * (n_draws + 1)


@pytest.mark.parametrize("key", ["a/b", "", " ", ".", "..", "a\0b", None, 3, ("a",)])
def test_keys_that_cannot_be_written_are_refused(key):
    with pytest.raises(ValueError, match="key_added must be a"):
        check_key(key)


@pytest.mark.parametrize("key", ["dynamics", "a b", "a#1", "é", ".a"])
def test_other_keys_pass(key):
    assert check_key(key) == key


def writers():
    for part in ("pp", "tl"):
        module = getattr(scdash, part)
        for name in module.__all__:
            if "key_added" in inspect.signature(getattr(module, name)).parameters:
                yield f"{part}.{name}"


@pytest.mark.parametrize("name", sorted(set(writers()) - NEED_CELLRANK))
def test_every_public_function_refuses_a_slash(name):
    from .cases import RETURNING, WRITING, public

    case = (WRITING | RETURNING)[name]
    for key in ("a/b", ""):
        data = case.data()
        before = set(data.uns)
        with pytest.raises(ValueError, match="key_added must be a non-empty string"):
            case.call(public(name), data, key_added=key)
        assert set(data.uns) == before
