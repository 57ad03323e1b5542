"""What happens when the machine, the disk or the user ends a fit."""

import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import scdash
from scdash._errors import memory_hint
from scdash._files import read_arrays, write_arrays
from scdash.networks._influence_store import BlockStore

HOW = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split", "progress": False}
LONG = {"start": "random", "sparsity": "imp", "max_epochs": 30}


@pytest.fixture(scope="module")
def _course():
    return scdash.simulate.grn_dynamics(n_genes=16, n_trajectories=16, n_test=3, noise=0.02, rng=3)


@pytest.fixture
def course(_course):
    return _course.copy()


@pytest.fixture
def interrupt_at(monkeypatch):
    """Press Ctrl-C in the middle of an epoch."""
    import scdash.training._loop as loop

    step = loop._train_batch

    def press(epoch):
        def batch(problem, state, *arguments):
            if state.epoch == epoch and state.step % 2:
                raise KeyboardInterrupt
            return step(problem, state, *arguments)

        monkeypatch.setattr(loop, "_train_batch", batch)

    return press


def test_an_interrupted_fit_is_kept_and_usable(course, interrupt_at, tmp_path):
    interrupt_at(20)
    scdash.tl.fit_dynamics(course, **HOW, **LONG)
    assert "interrupted after epoch 20" in scdash.get.report(course).attrs["summary"]
    assert len(scdash.get.history(course)) == 20
    assert scdash.tl.perturb(course, course.var_names[0]).n_obs > 0
    course.write_h5ad(tmp_path / "fit.h5ad")


def test_a_fit_interrupted_before_its_sparsity_keeps_the_denser_model(course, interrupt_at, caplog):
    interrupt_at(3)  # nothing is pruned before epoch 4, and no earlier model would have been returned
    with caplog.at_level("WARNING", logger="scdash"):
        scdash.tl.fit_dynamics(course, **HOW, **LONG)
    assert "denser models are kept" in caplog.text
    weights = scdash.get.model(course).state_dict().values()
    assert all(bool(torch.isfinite(value).all()) for value in weights)
    history = scdash.get.history(course)
    assert scdash.metrics.sparsity(course) == pytest.approx(history["sparsity"].iloc[-1], abs=0.02)


def test_an_interrupt_before_the_first_epoch_leaves_nothing(course, interrupt_at):
    interrupt_at(0)
    before = set(course.uns), set(course.layers), set(course.varp)
    with pytest.raises(KeyboardInterrupt):
        scdash.tl.fit_dynamics(course, **HOW, **LONG)
    assert (set(course.uns), set(course.layers), set(course.varp)) == before


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryError(),
              RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1e15 bytes")],
)  # fmt: skip
def test_out_of_memory_names_what_to_lower(course, monkeypatch, error):
    import scdash.training._loop as loop

    def fail(*arguments):
        raise error

    monkeypatch.setattr(loop, "_train_batch", fail)
    with pytest.raises(MemoryError, match=r"Out of memory.*batch_size.*n_models.*mask_var"):
        scdash.tl.fit_dynamics(course, **HOW, **LONG)
    assert "dynamics" not in course.uns


def test_other_errors_pass_through_the_memory_hint():
    with pytest.raises(RuntimeError, match="^shapes$"), memory_hint("Lower it."):
        raise RuntimeError("shapes")


@contextmanager
def full_disk():
    """No file may grow beyond 4 KB, as on a full disk; a real error of the operating system.

    Only around the call: pytest's own output may go to a file that is longer.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_costs_the_checkpoint_not_the_fit(course, tmp_path, caplog):
    path = tmp_path / "run.npz"
    settings = {"checkpoint_every": 2}
    with caplog.at_level("WARNING", logger="scdash"), full_disk():
        scdash.tl.fit_dynamics(course, **HOW, **LONG, training=settings, checkpoint=path)
    assert caplog.text.count("could not be written") == 1  # said once, not at every epoch
    assert list(tmp_path.iterdir()) == []  # nothing half-written
    assert "dynamics" in course.uns


def test_a_full_disk_keeps_the_checkpoint_that_was_there(tmp_path):
    path = tmp_path / "run.npz"
    write_arrays(path, {"a": np.arange(3)})
    with pytest.raises(OSError, match="File too large"), full_disk():
        write_arrays(path, {"a": np.zeros(10_000)})
    assert read_arrays(path)["a"].tolist() == [0, 1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["run.npz"]


@pytest.mark.parametrize("where", ["below a file", "read-only", "a folder"])
def test_a_checkpoint_that_can_not_be_written_is_an_error_at_once(course, tmp_path, where):
    if where == "below a file":
        (tmp_path / "file").write_text("")
        path = tmp_path / "file" / "run.npz"
    elif where == "a folder":
        path = tmp_path / "folder"
        path.mkdir()
    else:
        path = Path("/proc/self/run.npz") if os.geteuid() == 0 else tmp_path / "locked" / "run.npz"
        if os.geteuid():
            path.parent.mkdir(mode=0o500)
    with pytest.raises(OSError, match=r"checkpoint='.*Give a path|checkpoint='.*name a file"):
        scdash.tl.fit_dynamics(course, **HOW, **LONG, checkpoint=path)
    assert "dynamics" not in course.uns


def damage(data, kind, rng):
    if kind == "truncated":
        return data[: rng.integers(0, len(data))]
    flipped = bytearray(data)
    for at in rng.integers(0, len(data), 3):
        flipped[at] ^= int(rng.integers(1, 256))
    return bytes(flipped)


def test_damaged_checkpoints_are_named_or_harmless(tmp_path):
    """300 truncated or altered files: the error names the file, or what is read is what was written."""
    path, rng = tmp_path / "run.npz", np.random.default_rng(0)
    arrays = {"a": rng.random(40), "b": np.arange(10), "fingerprint": np.array("abc")}
    write_arrays(path, arrays)
    data = path.read_bytes()
    refused = 0
    for number in range(300):
        path.write_bytes(damage(data, ("truncated", "flipped")[number % 2], rng))
        try:
            found = read_arrays(path)
        except ValueError as error:
            assert str(path) in str(error) and "Delete the file" in str(error)
            refused += 1
        else:
            assert all(np.array_equal(found[name], arrays[name]) for name in set(found) & set(arrays))
    print(f"\ndamaged checkpoints: {refused} of 300 refused, none misread")
    assert refused > 200


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04", b"\x80\x04\x95", b"\x93NUMPY"])
@pytest.mark.parametrize("reader", ["training", "influence"])
def test_foreign_checkpoints_are_refused(course, tmp_path, content, reader):
    path = tmp_path / "run.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.npz.*no readable scdash checkpoint"):
        if reader == "influence":
            BlockStore(path, "key")
        else:
            scdash.tl.fit_dynamics(course, **HOW, **LONG, checkpoint=path)
    assert path.read_bytes() == content


@pytest.fixture(scope="module")
def fitted(_course):
    return scdash.tl.fit_dynamics(_course, prior=_course.uns["prior"], max_epochs=0, copy=True, **HOW)


def test_an_incomplete_fit_in_a_file_is_named(fitted):
    """Every part removed in turn, and each array cut: an error that names the slot, never a traceback from inside."""
    tried = 0
    for part in ("genes", "weights", "params", "minimum", "range"):
        for way in ("removed", "text", "cut"):
            adata = fitted.copy()
            entry = adata.uns["dynamics"]
            if way == "removed":
                del entry[part]
            elif way == "text":
                entry[part] = "foreign"
            elif part in ("weights", "params"):
                entry[part] = dict(list(entry[part].items())[:1])
            else:
                entry[part] = entry[part][:3]
            tried += 1
            with pytest.raises((KeyError, ValueError, TypeError), match=r"uns\['dynamics'\]|No model"):
                scdash.get.model(adata)
    print(f"\ndamaged fits: {tried} of {tried} named")


def test_a_truncated_h5ad_does_not_open_as_a_fit(fitted, tmp_path):
    import anndata

    fitted.write_h5ad(tmp_path / "fit.h5ad")
    data = (tmp_path / "fit.h5ad").read_bytes()
    for share in (0.1, 0.5, 0.9, 0.999):
        (tmp_path / "cut.h5ad").write_bytes(data[: int(share * len(data))])
        with pytest.raises((OSError, KeyError, RuntimeError)):  # of h5py: nothing of ours reads such a file
            anndata.read_h5ad(tmp_path / "cut.h5ad")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="asks Linux for the CPU time of a process")
def test_kills_and_races(tmp_path):
    """SIGKILL at 20 random moments, then resume to the same bits; two processes with one checkpoint path."""
    driver = Path(__file__).parent / "kill_driver.py"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(scdash.__file__).parents[1])}
    ran = subprocess.run(
        [sys.executable, str(driver), str(tmp_path), "20"], capture_output=True, text=True, env=environment
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = json.loads(ran.stdout.splitlines()[-1])
    print("\n", told)
    assert told["kills"] == 20 and told["of them written by the fit killed"] >= 10
    assert told["equal to a run never killed"] == 1
    assert told["right"] + told["refused"] == told["races"] and told["right"] >= 3
