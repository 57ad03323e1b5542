"""Sparsity methods of a call: what names stand for, and the record of a method with all of its options."""

from inspect import signature
from typing import Any

from scdash._core.errors import check_choice
from scdash.sparsity._base import SPARSITIES, Sparsity, as_sparsity
from scdash.sparsity._values import METHODS, Method


def sparsity_of(sparsity: Any) -> str | Method | Sparsity:
    """Return the method that `sparsity` names, or itself if it is one."""
    if isinstance(sparsity, str):
        check_choice("sparsity", sparsity, SPARSITIES)
        return METHODS[sparsity]() if sparsity in METHODS else sparsity
    if not isinstance(sparsity, Method | Sparsity):
        called = f"; did you mean {sparsity.__name__}()?" if isinstance(sparsity, type) else "."
        raise TypeError(
            f"sparsity must be a name, a value of scdash.sparsity or a Sparsity, found {sparsity!r}{called}"
        )
    return sparsity


def sparsity_options(sparsity: str | Method | Sparsity) -> dict[str, Any]:
    """Return the options of a method, with those apart that `FitOptions` has by name."""
    if not isinstance(sparsity, Method):
        return {"sparsity": sparsity}
    options = sparsity.options()
    own = {name: options.pop(name) for name in ("lambdas", "schedule", "scale") if name in options}
    targets = getattr(sparsity, "no_prior_targets", "mean")
    return {"sparsity": sparsity.method, "missing": targets, "sparsity_options": options} | own


def method_from(sparsity: str | Sparsity, options: dict[str, Any], **defaults: Any) -> Sparsity:
    """Return the record of a method with the user's own `options`, and with `defaults` where the user has none."""
    if isinstance(sparsity, Sparsity):
        return as_sparsity(sparsity, **options)
    known = signature(SPARSITIES[sparsity]).parameters
    for name in options:
        check_choice(f"option of sparsity={sparsity!r}", name, known)
    return as_sparsity(sparsity, **defaults | options)


def method_with(sparsity: str | Sparsity, options: dict[str, Any], asked: dict[str, Any], **defaults: Any) -> Sparsity:
    """Return the record of a method with those of the `asked` settings and `defaults` that it knows.

    `asked` are settings that a call has by name (`lambdas`, `schedule`); those that are None were not asked for.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    if isinstance(sparsity, Sparsity):
        return method_from(sparsity, options | given)
    known = signature(SPARSITIES[sparsity]).parameters
    return method_from(sparsity, options, **{k: v for k, v in (defaults | given).items() if k in known})
