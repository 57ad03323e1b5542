"""Every model sees each of its cells once an epoch, in as many steps as the others."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scdash.paired.stage import epoch_batches, pad


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4), batch=st.integers(1, 12))
def test_each_cell_once_and_the_same_steps(sizes: list[int], batch: int) -> None:
    steps = max(-(-size // batch) for size in sizes)
    sizes = [max(size, steps) for size in sizes]  # a model needs a cell a step
    steps = max(-(-size // batch) for size in sizes)
    if any(size < steps for size in sizes):
        return
    cells = [np.arange(size) + 100 * r for r, size in enumerate(sizes)]
    seen: list[list[int]] = [[] for _ in sizes]
    made = list(epoch_batches(cells, batch, np.random.default_rng(0).spawn(len(sizes))))
    assert len(made) == steps
    for index, weight in made:
        assert index.shape[1] <= batch
        for r in range(len(sizes)):
            real = index[r] if weight is None else index[r][weight[r, :, 0] > 0]
            assert len(real) > 0
            seen[r] += real.tolist()
    assert [sorted(found) for found in seen] == [own.tolist() for own in cells]


def test_equal_sizes_need_no_weights_and_keep_the_last_partial_batch() -> None:
    made = list(epoch_batches([np.arange(70), np.arange(70)], 32, np.random.default_rng(0).spawn(2)))
    assert [index.shape[1] for index, _ in made] == [32, 32, 6]
    assert all(weight is None for _, weight in made)


def test_a_models_order_does_not_depend_on_the_stack() -> None:
    alone = list(epoch_batches([np.arange(10)], 4, np.random.default_rng(0).spawn(2)[1:]))
    both = list(epoch_batches([np.arange(10), np.arange(10)], 4, np.random.default_rng(0).spawn(2)))
    assert all((a[0] == b[1]).all() for (a, _), (b, _) in zip(alone, both, strict=True))


def test_pad_marks_what_is_not_there() -> None:
    index, weight = pad([np.array([3, 4]), np.array([5])])
    assert index.tolist() == [[3, 4], [5, 0]]
    assert weight is not None
    assert weight[..., 0].tolist() == [[1, 1], [1, 0]]
