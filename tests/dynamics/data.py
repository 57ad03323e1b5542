"""The small data of `tests/glue`: pytest's import mode keeps neighbouring folders out of reach of an ordinary import."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_spec = spec_from_file_location("scdash_tests_glue_data", Path(__file__).parents[1] / "glue" / "data.py")
assert _spec is not None and _spec.loader is not None
_module = module_from_spec(_spec)
_spec.loader.exec_module(_module)
PRIOR, cells_of, series_of = _module.PRIOR, _module.cells_of, _module.series_of
