"""Kill fits at random moments and race two of them for one checkpoint; prints what happened as JSON.

A process of its own, single-threaded, so that fits can be forked instead of paying for the import of torch each time.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import scdash
from scdash._core.files import read_arrays

HOW = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split", "progress": False}


def fit(course: Any, checkpoint: Path | None, *, epochs: int, seed: int = 0) -> Any:
    """Fit from random weights, writing a checkpoint at every epoch."""
    settings = {"patience": 10_000} | ({} if checkpoint is None else {"checkpoint_every": 1})
    return scdash.tl.fit_dynamics(course, sparsity="imp", start="random", rng=seed, copy=True, training=scdash.Training(max_epochs=epochs, **settings, checkpoint=checkpoint), **HOW)  # fmt: skip


def forked(work: Callable[[], Any], out: Path) -> int:
    """Run `work` in a child, which saves the network it returns; return the child's id."""
    child = os.fork()
    if child:
        return child
    try:
        grn = work().varp["dynamics_grn"].toarray()
        np.save(out, grn)
    except BaseException as error:  # noqa: BLE001 - the parent reads how it ended
        out.with_suffix(".error").write_text(f"{type(error).__name__}: {error}")
        os._exit(1)
    os._exit(0)


def computed(child: int) -> float:
    """Return the seconds of CPU time a process has had: on a busy machine wall time says nothing of its progress."""
    return int(Path(f"/proc/{child}/schedstat").read_text().split()[0]) / 1e9


def kills(course: Any, folder: Path, wanted: int, epochs: int) -> dict[str, int]:
    """Kill a fit `wanted` times, resuming it each time, and compare its end with that of one never killed."""
    path, out = folder / "run.npz", folder / "killed.npy"
    began = time.process_time()
    never = fit(course, None, epochs=epochs).varp["dynamics_grn"].toarray()
    whole = time.process_time() - began
    random.seed(0)
    survived = readable = moved = finished = 0
    while survived < wanted:
        before = path.read_bytes() if path.exists() else b""
        child = forked(lambda: fit(course, path, epochs=epochs), out)
        until = random.uniform(0.0, 0.4 * whole)
        while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) and computed(child) < until:
            time.sleep(random.uniform(0.0, 0.004))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):  # it was done before: begin again
            finished += 1
            if os.WEXITSTATUS(status):
                raise SystemExit(out.with_suffix(".error").read_text())
            path.unlink(missing_ok=True)
            continue
        survived += 1
        if path.exists():
            read_arrays(path)  # raises if damaged
            readable += 1
            moved += path.read_bytes() != before
    resumed = fit(course, path, epochs=epochs).varp["dynamics_grn"].toarray()
    return {"kills": survived, "checkpoints read": readable, "of them written by the fit killed": moved,
            "done before the kill": finished,
            "equal to a run never killed": int(np.array_equal(resumed, never))}  # fmt: skip


def race(course: Any, folder: Path, epochs: int) -> dict[str, int]:
    """Start equal and unequal pairs of fits on one checkpoint; each must end as it would alone, or be refused clearly."""
    alone = {seed: fit(course, None, epochs=epochs, seed=seed).varp["dynamics_grn"].toarray() for seed in (0, 1)}
    right = refused = 0
    for number, seeds in enumerate([(0, 0), (0, 1)]):
        path = folder / f"race{number}.npz"
        outs = [folder / f"race{number}_{k}.npy" for k in (0, 1)]
        children = []
        for seed, out in zip(seeds, outs, strict=True):
            children.append(forked(partial(fit, course, path, epochs=epochs, seed=seed), out))
        for child in children:
            os.waitpid(child, 0)
        for seed, out in zip(seeds, outs, strict=True):
            if out.exists():
                right += int(np.array_equal(np.load(out), alone[seed]))
            else:
                refused += int("other data, settings or seed" in out.with_suffix(".error").read_text())
    return {"races": 4, "right": right, "refused": refused}


def main(folder: Path, wanted: int) -> None:
    """Print what happened."""
    torch.set_num_threads(1)
    scdash.settings.verbosity = 0
    course = scdash.simulate.grn_dynamics(n_genes=16, n_trajectories=16, n_test=3, rng=3)
    told = kills(course, folder, wanted, epochs=250) | race(course, folder, epochs=40)
    left = [path.name for path in folder.iterdir() if path.name.endswith(".partial")]
    print(json.dumps(told | {"partial files left by kills": len(left)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
