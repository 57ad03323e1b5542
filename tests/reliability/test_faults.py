"""What happens when the machine, the disk or the user ends a fit."""

import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import scdash
from scdash._core.errors import memory_hint
from scdash._core.files import read_arrays, write_arrays
from scdash.networks.influences.store import BlockStore

HOW = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split", "progress": False}
LONG = {"start": "random", "sparsity": "imp", "training": scdash.Training(max_epochs=30)}


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryError(),
              RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1e15 bytes")],
)  # fmt: skip
def test_out_of_memory_names_what_to_lower(course, monkeypatch, error, tally):
    from scdash.training.state_pairs import StatePairs

    def fail(*arguments):
        raise error

    monkeypatch.setattr(StatePairs, "differentiate", fail)
    with pytest.raises(MemoryError, match=r"Out of memory.*batch_size.*n_models.*mask_var"):
        scdash.tl.fit_dynamics(course, **HOW, **LONG)
    assert "dynamics" not in course.uns
    tally("out of memory: the message names what to lower")


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


def test_a_full_disk_costs_the_checkpoint_not_the_fit(course, tmp_path, caplog, tally):
    path = tmp_path / "run.npz"
    settings = {"checkpoint_every": 2}
    with caplog.at_level("WARNING", logger="scdash"), full_disk():
        scdash.tl.fit_dynamics(
            course, **HOW, **LONG | {"training": scdash.Training(max_epochs=30, **settings, checkpoint=path)}
        )
    assert caplog.text.count("could not be written") == 1  # said once, not at every epoch
    assert list(tmp_path.iterdir()) == []  # nothing half-written
    assert "dynamics" in course.uns
    tally("full disks: nothing lost that was there")


def test_a_full_disk_keeps_the_checkpoint_that_was_there(tmp_path, tally):
    path = tmp_path / "run.npz"
    write_arrays(path, {"a": np.arange(3)})
    with pytest.raises(OSError, match="File too large"), full_disk():
        write_arrays(path, {"a": np.zeros(10_000)})
    assert read_arrays(path)["a"].tolist() == [0, 1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["run.npz"]
    tally("full disks: nothing lost that was there")


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_full_disk_costs_the_file_not_the_figure(fitted, tmp_path, kind, tally):
    """Figures are saved by matplotlib: its error is the system's, and the figure can be saved elsewhere afterwards."""
    before, edges = set(fitted.uns), scdash.get.grn(fitted)
    figure = scdash.pl.network(fitted, return_fig=True, show=False)
    path = tmp_path / f"figure.{kind}"
    with pytest.raises(OSError, match="File too large"), full_disk():
        figure.savefig(path)
    figure.savefig(tmp_path / f"elsewhere.{kind}")
    assert (tmp_path / f"elsewhere.{kind}").stat().st_size > 4096
    assert set(fitted.uns) == before and scdash.get.grn(fitted).equals(edges)
    plt.close(figure)
    tally("full disks: nothing lost that was there")


@pytest.mark.parametrize("where", ["below a file", "read-only", "a folder"])
def test_a_checkpoint_that_can_not_be_written_is_an_error_at_once(course, tmp_path, where, tally):
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
        scdash.tl.fit_dynamics(course, **HOW, **LONG | {"training": scdash.Training(max_epochs=30, checkpoint=path)})
    assert "dynamics" not in course.uns
    tally("checkpoint paths that cannot be written: refused before the first epoch")


def damage(data, kind, rng):
    if kind == "truncated":
        return data[: rng.integers(0, len(data))]
    flipped = bytearray(data)
    for at in rng.integers(0, len(data), 3):
        flipped[at] ^= int(rng.integers(1, 256))
    return bytes(flipped)


def test_damaged_checkpoints_are_named_or_harmless(tmp_path, tally):
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
    tally("damaged checkpoints: refused by name", refused)
    tally("damaged checkpoints: read, and rightly", 300 - refused)
    assert refused > 200


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04", b"\x80\x04\x95", b"\x93NUMPY"])
@pytest.mark.parametrize("reader", ["training", "influence"])
def test_foreign_checkpoints_are_refused(course, tmp_path, content, reader, tally):
    path = tmp_path / "run.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.npz.*no readable scdash checkpoint"):
        if reader == "influence":
            BlockStore(path, "key")
        else:
            scdash.tl.fit_dynamics(
                course, **HOW, **LONG | {"training": scdash.Training(max_epochs=30, checkpoint=path)}
            )
    assert path.read_bytes() == content
    tally("foreign files as a checkpoint: refused, left as they were")


def test_an_incomplete_fit_in_a_file_is_named(fitted, tally):
    """Every part removed in turn, and each array cut: an error that names the slot, never a traceback from inside."""
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
            with pytest.raises((KeyError, ValueError, TypeError), match=r"uns\['dynamics'\]|No model"):
                scdash.get.model(adata)
            tally("stored fits with parts missing or damaged: named")


def test_a_truncated_h5ad_does_not_open_as_a_fit(fitted, tmp_path, tally):
    import anndata

    fitted.write_h5ad(tmp_path / "fit.h5ad")
    data = (tmp_path / "fit.h5ad").read_bytes()
    for fraction in (0.1, 0.5, 0.9, 0.999):
        (tmp_path / "cut.h5ad").write_bytes(data[: int(fraction * len(data))])
        with pytest.raises((OSError, KeyError, RuntimeError)):  # of h5py: nothing of ours reads such a file
            anndata.read_h5ad(tmp_path / "cut.h5ad")
        tally("truncated h5ad: refused by anndata")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="asks Linux for the CPU time of a process")
def test_kills_and_races(tmp_path, tally):
    """SIGKILL at 20 random moments, then resume to the same bits; two processes with one checkpoint path."""
    driver = Path(__file__).parent / "kill_driver.py"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(scdash.__file__).parents[1])}
    ran = subprocess.run(
        [sys.executable, str(driver), str(tmp_path), "20"], capture_output=True, text=True, env=environment
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = json.loads(ran.stdout.splitlines()[-1])
    names = {
        "kills": "kills survived", "checkpoints read": "kills: checkpoints readable afterwards",
        "of them written by the fit killed": "kills: checkpoints written by the very fit that was killed",
        "done before the kill": "kills: fits that were done before the kill",
        "equal to a run never killed": "kills: last fits equal, bit for bit, to one never killed",
        "partial files left by kills": "kills: partial files left", "races": "fits racing for one checkpoint",
        "right": "races: ended as they would alone", "refused": "races: refused by name",
    }  # fmt: skip
    for name, what in names.items():
        tally(what, told[name])
    assert told["kills"] == 20 and told["of them written by the fit killed"] >= 10
    assert told["equal to a run never killed"] == 1
    assert told["right"] + told["refused"] == told["races"] and told["right"] >= 3
