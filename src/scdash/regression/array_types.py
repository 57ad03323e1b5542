"""Types of the arrays that matching works on."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating[Any]]
Index: TypeAlias = NDArray[np.intp]
