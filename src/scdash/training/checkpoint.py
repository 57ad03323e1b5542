"""Checkpoints of training: refused when they belong to another run."""

import hashlib
from pathlib import Path

import numpy as np
import torch

from scdash._core.files import REMEDY, read_arrays, write_arrays
from scdash._core.logging import logger
from scdash.training.problem import Problem
from scdash.training.state import TrainState


def checkpoint_of_part(path: Path | None, number: int) -> Path | None:
    """Return the file for one of several trainings that share `path`, the checkpoint that was asked for."""
    return None if path is None else path.with_name(f"{path.stem}.{number}{path.suffix}")


def write_checkpoint(path: Path, state: TrainState, fingerprint: str) -> bool:
    """Write `state` to `path`; where that fails, say so and return False: hours of training outweigh a full disk."""
    try:
        write_arrays(path, {"fingerprint": np.array(fingerprint), **state.to_arrays()})
    except OSError as error:
        logger.warning("    checkpoint=%r could not be written (%s); training goes on without it", str(path), error)
        return False
    return True


def read_checkpoint(path: Path, fingerprint: str, device: torch.device) -> TrainState | None:
    """Return the state stored at `path`, None if there is no file.

    Raises ValueError if the file is no checkpoint, is damaged, or was written by a run with other settings or data.
    """
    if not path.exists():
        return None
    arrays = read_arrays(path)
    found = str(arrays.pop("fingerprint", ""))
    if found == fingerprint:
        try:
            return TrainState.from_arrays(arrays, device)
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(
                f"checkpoint={str(path)!r} is no readable scdash checkpoint (incomplete: {error}). {REMEDY}"
            ) from error
    raise ValueError(
        f"checkpoint={str(path)!r} belongs to a run with other data, settings or seed, so it cannot be resumed. {REMEDY}"
    )


def fingerprint(problem: Problem, state: TrainState) -> str:
    """Return a digest of data, model, method, settings, seed and start; `max_epochs` may differ (to train on)."""
    digest = hashlib.sha256()
    config = {
        k: v for k, v in vars(problem.config).items() if k not in ("max_epochs", "checkpoint_every", "max_memory")
    }
    described = (problem.field.name, problem.field.config(), problem.sparsity.config(), config, problem.seed)
    digest.update(repr((*described, problem.returnable_from)).encode())
    for examples in (problem.train, problem.validation):
        for tensor in (examples.start, examples.times, examples.targets):
            digest.update(tensor.cpu().numpy().tobytes())
    for name in sorted(state.params):
        digest.update(name.encode() + state.params[name].cpu().numpy().tobytes())
    return digest.hexdigest()
