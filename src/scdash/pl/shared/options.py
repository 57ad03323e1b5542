"""The arguments that every figure takes: their types, their place in signatures, and their text in docstrings."""

import re
from collections.abc import Callable, Sequence
from functools import wraps
from inspect import Parameter, cleandoc, signature
from typing import Any, ParamSpec, TypedDict, TypeVar, get_args

from matplotlib.axes import Axes

from scdash._core.errors import check_arguments
from scdash._core.process_state import guarded

P = ParamSpec("P")
R = TypeVar("R")


class FigureOptions(TypedDict, total=False):
    """Arguments that every figure takes, as scanpy's do; :mod:`scdash.pl` describes them."""

    title: str | Sequence[str] | None
    figsize: tuple[float, float] | None
    ax: Axes | None
    show: bool | None
    save: str | bool | None
    return_fig: bool


OPTIONS = list(FigureOptions.__annotations__)
PARAMETERS = f"{', '.join(OPTIONS)}\n    See :mod:`scdash.pl`.\n"
RETURNS = """
Returns
-------
Axes or list of Axes or Figure or None
    One Axes, or one for each panel; the Figure with ``return_fig=True``; None once it was shown.
"""


def drawing(function: Callable[P, R]) -> Callable[P, R]:
    """Run a public function that draws within `process_state`; unknown keyword arguments are errors with near matches.

    It takes the arguments above as the last of its parameters, ``**page: Unpack[FigureOptions]``, or in a record that
    extends it, such as `ColorScale`. What a reader sees names them one by one: in signature and annotations, and in the
    docstring where it has no text of its own on `figsize` or on what is returned.
    """
    whole = signature(function)
    *own, rest = whole.parameters.values()
    (record,) = get_args(rest.annotation)
    listed = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=False if name == "return_fig" else None, annotation=kind)
        for name, kind in FigureOptions.__annotations__.items()
    ]
    shown = [*own, *listed] if record is FigureOptions else [*own, *listed, rest]
    function.__dict__["__signature__"] = whole.replace(parameters=shown)
    function.__annotations__ = {one.name: one.annotation for one in shown} | {"return": whole.return_annotation}
    if function.__doc__:  # python -OO leaves none
        function.__doc__ = completed(cleandoc(function.__doc__))
    inner, known = guarded(function), [*(one.name for one in own), *record.__annotations__]
    by_place = [one.name for one in own if one.kind is Parameter.POSITIONAL_OR_KEYWORD]

    @wraps(inner)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if len(args) > len(by_place):
            raise TypeError(_too_many(function.__name__, by_place, args))
        check_arguments(function.__name__, kwargs, known)
        return inner(*args, **kwargs)

    return call


def _too_many(name: str, by_place: Sequence[str], given: Sequence[object]) -> str:
    """Return the sentence for more values than arguments without a name: names of genes one by one belong into a list."""
    several = [*given[len(by_place) - 1 :]]
    remedy = "give the others by their names"
    if all(isinstance(value, str) for value in several):
        remedy = f"write {name}({', '.join([*by_place[:-1], repr(several)])})"
    return f"{name}() takes {' and '.join(by_place)} without a name, found {len(given)} values: {remedy}."


def own_options(given: Any) -> dict[str, Any]:
    """Return the arguments of a record that are not those of every figure."""
    return {name: value for name, value in given.items() if name not in OPTIONS}


def completed(text: str) -> str:
    """Return a docstring with the parameters of every figure and with what a figure returns."""
    summary, parameters, rest = re.split(r"(?<=\n)(?=Parameters\n---|(?:Returns|See Also)\n---)", text, maxsplit=2)
    if "figsize" not in parameters:
        before, star, after = parameters.rstrip().partition("\n**")
        parameters = f"{before}\n{PARAMETERS}{star.strip()}{after}".rstrip() + "\n\n"
    if not rest.startswith("Returns"):
        rest = f"{RETURNS.lstrip()}\n{rest}"
    return summary + parameters + rest
