"""The state of training as a value: its start, parts of a stack, stacks of parts, and arrays for a file."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from scdash.training.state import GROUPS, PER_MODEL, TrainState, stacked

CPU = torch.device("cpu")


def trained(models, epoch, seed=0):
    """Return a state in which every number differs from every other, as after some epochs."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape):
        return torch.rand(models, *shape, generator=generator)

    def count():
        return torch.randint(0, 100, (models,), generator=generator)

    state = TrainState.start({"w": drawn(3, 2), "v": drawn(3)}, {"w": drawn(3, 2) > 0.5}, {"w": drawn(3, 2)}, 0.1)
    state.moments = {name: (drawn(*p.shape[1:]), drawn(*p.shape[1:])) for name, p in state.params.items()}
    state.best_params = {name: drawn(*p.shape[1:]) for name, p in state.params.items()}
    state.best_masks = {"w": drawn(3, 2) > 0.5}
    for name in PER_MODEL:
        setattr(state, name, count() if getattr(state, name).dtype == torch.long else drawn())
    state.epoch, state.step, state.pruned_at = epoch, 10 * epoch, epoch - 1
    state.history = [
        {"epoch": k, "model": model, "loss": seed + k + 0.1 * model} for k in range(epoch) for model in range(models)
    ]
    return state


def tensors_of(state):
    """Return every tensor of a state by its place."""
    found = {f"{group} {name}": value for group in GROUPS for name, value in getattr(state, group).items()}
    found |= {name: getattr(state, name) for name in PER_MODEL}
    for name, (first, second) in state.moments.items():
        found |= {f"first {name}": first, f"second {name}": second}
    return found


def assert_same(found, expected):
    """Check that two states hold the same numbers, of the same types."""
    ours, theirs = tensors_of(found), tensors_of(expected)
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name
        assert ours[name].dtype == value.dtype, name
    for name in ("epoch", "step", "pruned_at", "history"):
        assert getattr(found, name) == getattr(expected, name)


def test_every_field_of_a_state_is_in_a_group():
    known = {*GROUPS, *PER_MODEL, "moments", "epoch", "step", "pruned_at", "history"}
    assert {one.name for one in fields(TrainState)} == known


def test_the_state_before_the_first_epoch():
    params = {"w": torch.rand(2, 3, 4), "v": torch.rand(2, 3)}
    masks, memory = {"w": torch.rand(2, 3, 4) > 0.5}, {"w": torch.rand(2, 3, 4)}
    state = TrainState.start(params, masks, memory, 0.125)
    assert state.params is params and state.masks is masks and state.memory is memory
    for name, value in params.items():
        assert all(torch.equal(moment, torch.zeros_like(value)) for moment in state.moments[name])
        assert state.moments[name][0] is not state.moments[name][1]
        assert torch.equal(state.best_params[name], value) and state.best_params[name] is not value
    assert torch.equal(state.best_masks["w"], masks["w"]) and state.best_masks["w"] is not masks["w"]
    expected = {
        "rate": [0.125, 0.125],
        "plateau_best": [np.inf, np.inf],
        "plateau_bad": [0, 0],
        "lowest": [np.inf, np.inf],
        "lowest_error": [0.0, 0.0],
        "lowest_epoch": [-1, -1],
        "best_loss": [np.inf, np.inf],
        "best_validation": [np.inf, np.inf],
        "best_epoch": [-1, -1],
    }
    assert {name: getattr(state, name).tolist() for name in PER_MODEL} == expected
    for name in ("plateau_bad", "lowest_epoch", "best_epoch"):
        assert getattr(state, name).dtype == torch.long
    assert (state.epoch, state.step, state.pruned_at, state.history) == (0, 0, -1, [])


def test_numbers_of_a_state_share_no_memory():
    state = TrainState.start({"w": torch.rand(2, 3)}, {}, {}, 0.1)
    places = [value.data_ptr() for value in tensors_of(state).values()]
    assert len(set(places)) == len(places)


def test_numbers_of_a_state_are_where_its_parameters_are():
    state = TrainState.start({"w": torch.empty(2, 3, device="meta")}, {}, {}, 0.1)
    assert {value.device.type for value in tensors_of(state).values()} == {"meta"}


def test_models_are_taken_out_of_a_stack_in_the_order_given():
    state = trained(3, epoch=2)
    part = state.of_models([2, 0, 2])
    for name, value in tensors_of(state).items():
        assert torch.equal(tensors_of(part)[name], value[[2, 0, 2]])
    assert (part.epoch, part.step, part.pruned_at) == (2, 20, 1)
    wanted = [(0, 1, 0.0), (0, 0, 0.2), (0, 2, 0.2), (1, 1, 1.0), (1, 0, 1.2), (1, 2, 1.2)]
    assert [(row["epoch"], row["model"], row["loss"]) for row in part.history] == wanted
    assert len(state.history) == 6  # the whole stack is as before
    assert_same(state.of_models(range(3)), trained(3, epoch=2))
    assert_same(state.of_models(np.array([1])), state.of_models([1]))
    assert len(state.of_models([]).rate) == 0 and state.of_models([]).history == []
    floats = trained(3, epoch=1)
    floats.history = [row | {"model": float(row["model"])} for row in floats.history]  # as read from a table
    assert [row["model"] for row in floats.of_models([1]).history] == [0]


def test_a_state_moves_to_a_device_as_a_whole():
    state = trained(2, epoch=2)
    moved = state.to(torch.device("meta"))
    assert {value.device.type for value in tensors_of(moved).values()} == {"meta"}
    assert moved.history == state.history and moved.epoch == 2
    assert_same(state.to(CPU), state)


def test_a_stack_of_several_states_holds_their_models_one_after_the_other():
    first, second, third = trained(2, epoch=3, seed=1), trained(1, epoch=2, seed=2), trained(2, epoch=3, seed=3)
    second.step, third.pruned_at = 99, 7
    whole = TrainState.together([first, second, third])
    parts = [tensors_of(state) for state in (first, second, third)]
    for name, value in tensors_of(whole).items():
        assert torch.equal(value, torch.cat([part[name] for part in parts]))
    assert (whole.epoch, whole.step, whole.pruned_at) == (3, 99, 7)
    places = [(row["epoch"], row["model"]) for row in whole.history]
    assert places == [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (2, 0), (2, 1),
                      (2, 3), (2, 4)]  # fmt: skip
    assert [row["loss"] for row in whole.history[:5]] == [1, 1.1, 2, 3, 3.1]
    assert [row["model"] for row in second.history] == [0, 0]  # the parts are as before
    assert_same(whole.of_models([2]), replaced(second, epoch=3, step=99, pruned_at=7))


def replaced(state, **changes):
    """Return a state with other counters."""
    for name, value in changes.items():
        setattr(state, name, value)
    return state


def test_a_state_is_the_same_after_a_file(tmp_path):
    state = trained(2, epoch=3)
    state.moments["a|b"] = (torch.rand(2, 1), torch.rand(2, 1))  # a name with the separator
    state.params["a|b"] = torch.rand(2, 1)
    arrays = state.to_arrays()
    assert all(isinstance(value, np.ndarray) for value in arrays.values())
    np.savez(tmp_path / "state.npz", **arrays)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as stored:
        again = TrainState.from_arrays(dict(stored), CPU)
    assert_same(again, state)
    assert all(type(count) is int for count in (again.epoch, again.step, again.pruned_at))
    meta = TrainState.from_arrays(arrays, torch.device("meta"))
    assert {value.device.type for value in tensors_of(meta).values()} == {"meta"}


def test_the_names_of_the_arrays_of_a_state():
    """Checkpoints are read by these names."""
    arrays = trained(1, epoch=1).to_arrays()
    assert set(arrays) == {
        "params|w", "params|v", "masks|w", "memory|w", "best_params|w", "best_params|v", "best_masks|w",
        "first|w", "first|v", "second|w", "second|v", *PER_MODEL, "counters", "history",
    }  # fmt: skip
    assert arrays["counters"].tolist() == [1, 10, 0]


def test_stacks_need_the_same_names():
    first, second = {"w": torch.zeros(1, 2)}, {"w": torch.ones(2, 2)}
    assert stacked([first, second])["w"].tolist() == [[0, 0], [1, 1], [1, 1]]
    with pytest.raises(KeyError, match="w"):
        stacked([first, {}])
