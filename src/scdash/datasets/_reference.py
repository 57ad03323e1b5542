"""Where data that are not part of scdash lie: the folder of reference data."""

import os
from pathlib import Path

VARIABLE = "SCDASH_REFERENCE_DATA"


def reference_file(folder: "str | Path | None", file: str, what: str, otherwise: str) -> Path:
    """Return the path of a file of the folder, or of the one that the environment variable names.

    Raises
    ------
    FileNotFoundError
        If the file is not there; the message says where it was looked for, and what to do `otherwise`.
    """
    path = Path(folder if folder is not None else os.environ.get(VARIABLE, "")) / file
    if not path.is_file():
        raise FileNotFoundError(
            f"{what} not at {path}: pass folder=, or set {VARIABLE} to the folder that holds {Path(file).parent}/. {otherwise}"
        )
    return path
