"""Small frozen values that say how something is done: their repr is stored with a fit and can be read back."""

import ast
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import numpy as np

PLAIN = (str, bool, int, float, type(None))


class Value:
    """Base of frozen dataclasses whose repr names the fields that differ from their defaults, such as `MLP((64, 64))`."""

    def __repr__(self) -> str:
        return shown(self)

    def given(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults."""
        return changed_fields(self)


def changed_fields(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their defaults."""
    found = {}
    for one in fields(value):
        default = one.default if one.default_factory is MISSING else one.default_factory()
        here = getattr(value, one.name)
        same = here is default or (
            type(here) is type(default) and isinstance(here, (*PLAIN, tuple)) and here == default
        )
        if not same:
            found[one.name] = here
    return found


def shown(value: Any) -> str:
    """Return the text of a plain value, of a tuple, list or dictionary of them, or of a dataclass that holds them.

    What `read_value` cannot read, such as a table, is shown as its type in angle brackets.

    >>> shown({"a": (1, np.float64(0.5))})
    "{'a': (1, 0.5)}"
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, tuple):
        return f"({', '.join(shown(one) for one in value)}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(shown(one) for one in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{shown(key)}: {shown(one)}' for key, one in value.items())}}}"
    if is_dataclass(value) and not isinstance(value, type):
        return call_text(type(value).__name__, changed_fields(value))
    return f"<{type(value).__name__}>"


def call_text(name: str, options: Mapping[str, Any]) -> str:
    """Return the text of a call with options by name."""
    return f"{name}({', '.join(f'{option}={shown(value)}' for option, value in options.items())})"


def read_value(text: str, makers: Callable[[str], Callable[..., Any]]) -> Any:
    """Return what `shown` has written; nothing in the text is executed.

    `text`: literals, and calls with literals or further calls as arguments. `makers`: returns the function or class
    behind the name of a call, and raises where it does not know the name.

    Raises ValueError if the text holds anything else.
    """
    try:
        return _read(ast.parse(text, mode="eval").body, makers)
    except SyntaxError as error:
        raise ValueError(f"{text!r} is no stored setting.") from error


def _read(node: ast.expr, makers: Callable[[str], Callable[..., Any]]) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        options = {str(one.arg): _read(one.value, makers) for one in node.keywords if one.arg is not None}
        if len(options) == len(node.keywords):
            return makers(node.func.id)(*[_read(one, makers) for one in node.args], **options)
    if isinstance(node, ast.Tuple):
        return tuple(_read(one, makers) for one in node.elts)
    if isinstance(node, ast.List):
        return [_read(one, makers) for one in node.elts]
    if isinstance(node, ast.Dict):
        keys = [key for key in node.keys if key is not None]
        return {_read(key, makers): _read(one, makers) for key, one in zip(keys, node.values, strict=True)}
    return ast.literal_eval(node)
