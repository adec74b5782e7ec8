"""How one option of a config is described: its values, its default and its meaning.

All that is said of an option stands at its field in `ViTConfig`, once. The config
checks its values by it, and `help(keras_vit.ViT)` is made of the same text.
"""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any, Protocol

DROPPED = " It is the share that is dropped in training."
SPELLING = " Check the spelling."


class Check(Protocol):
    """The values of an option: called with its name and a value, it returns that value.

    The value comes back as a plain Python value. A wrong one raises a TypeError or a
    ValueError. `values` says in words which are right.
    """

    @property
    def values(self) -> str:
        """The values in words, for the documentation."""
        ...

    def __call__(self, name: str, value: Any) -> Any:
        """Return the value that the config keeps."""
        ...


def option(
    default: Any,
    check: Check,
    text: str,
    *,
    is_optional: bool = False,
    kw_only: bool = True,
) -> Any:
    """Return the field of a dataclass for one option.

    Args:
        default: that of the paper's model.
        check: the values that the option may have.
        text: what it means, without its values and its default.
        is_optional: whether None is a value, too. Default False.
        kw_only: whether the option has to be named in a call. Default True.
    """
    metadata = {"check": check, "text": text, "is_optional": is_optional}
    return field(default=default, kw_only=kw_only, metadata=metadata)


def later_option(default: Any, check: Check, text: str, **kwargs: bool) -> Any:
    """Return the field for an option that a later family of models brought.

    Args:
        default: the value that leaves the paper's model as it is.
        check: as for `option`.
        text: as for `option`.
        **kwargs: as for `option`.
    """
    made = option(default, check, text, **kwargs)
    return field(default=default, metadata={**made.metadata, "is_later": True})


def changed_later_options(config: Any) -> list[str]:
    """Return the options of later families that are not at their defaults."""
    later = [one for one in fields(config) if "is_later" in one.metadata]
    return [one.name for one in later if getattr(config, one.name) != one.default]


def check_options(config: Any) -> None:
    """Check the options of a frozen dataclass and keep their plain Python values.

    Raises:
        TypeError: if a value has the wrong type.
        ValueError: if a value is out of its range.
    """
    for one in fields(config):
        value = getattr(config, one.name)
        if value is not None or not one.metadata["is_optional"]:
            checked = one.metadata["check"](one.name, value)
            object.__setattr__(config, one.name, checked)


def takes_options_of(config: type) -> Callable[[Any], Any]:
    """Let a method take the options of a config, and hand it the config.

    What the method is called with, apart from its own named parameters, makes the
    config, which is its first argument. Its signature, and so `help()` and completion,
    shows the options in place of the config.

    Args:
        config: dataclass whose fields were made by `option`.
    """

    def decorate(method: Any) -> Any:
        owner, _, *own = inspect.signature(method).parameters.values()
        names = [parameter.name for parameter in own]

        @functools.wraps(method)
        def with_options(self: Any, *args: Any, **kwargs: Any) -> None:
            others = {name: kwargs.pop(name) for name in names if name in kwargs}
            try:
                made = config(*args, **kwargs)
            except TypeError:
                check_names(config, kwargs, *names)  # Says it better than Python does.
                raise
            method(self, made, **others)

        options = inspect.signature(config).parameters.values()
        wrapped: Any = with_options
        wrapped.__signature__ = inspect.Signature([owner, *options, *own])
        return wrapped

    return decorate


def check_names(config: type, names: Iterable[str], *also_valid: str) -> None:
    """Raise a TypeError that lists the valid options if one of `names` is unknown.

    Args:
        config: dataclass of the options.
        names: to check.
        *also_valid: names that are valid beside its fields.
    """
    valid = [*(one.name for one in fields(config)), *also_valid]
    unknown = sorted(set(names) - set(valid))
    if unknown:
        raise TypeError(
            f"Unknown ViT option(s) {unknown}. The options are {valid}. "
            "Check the spelling."
        )


def describe_options(config: type, docstring: str | None = None) -> str:
    """Return a docstring in which the options of a config stand for `{options}`.

    Args:
        config: dataclass whose fields were made by `option`.
        docstring: with `{options}` under `Args:`. Default None: that of the config.
    """
    lines = []
    for one in fields(config):
        facts = one.metadata
        none = ", or None" if facts["is_optional"] else ""
        default = f'"{one.default}"' if isinstance(one.default, str) else one.default
        line = f"{one.name}: {facts['text']} {facts['check'].values}{none}."
        lines.append(f"{line} Default {default}.")
    wrapped = (
        textwrap.fill(line, 88, initial_indent=" " * 8, subsequent_indent=" " * 12)
        for line in lines
    )
    options = "\n".join(wrapped).strip()
    return (docstring or str(config.__doc__)).replace("{options}", options)


@dataclass(frozen=True)
class Whole:
    """A whole number from `least` on."""

    least: int = 1
    advice: str = ""  # what to do instead of a smaller one

    @property
    def values(self) -> str:
        return f"A whole number of at least {self.least}"

    def __call__(self, name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise wrong_type(name, value, "a whole number")
        if value < self.least:
            raise out_of_range(name, value, f"at least {self.least}", self.advice)
        return int(value)


@dataclass(frozen=True)
class Pair:
    """Two whole numbers of at least 1; one number stands for two equal ones."""

    unit: str = "pixels"
    order: str = "(height, width)"

    @property
    def what(self) -> str:
        """Number and unit, in words."""
        return f"one number of {self.unit} or {self.order}"

    @property
    def values(self) -> str:
        return f"O{self.what[1:]}, each at least 1"

    def __call__(self, name: str, value: Any) -> tuple[int, int]:
        pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
        if len(pair) != 2:
            raise out_of_range(name, value, self.what)
        return Whole()(name, pair[0]), Whole()(name, pair[1])


@dataclass(frozen=True)
class WholeForEach:
    """A whole number of at least 1, or one such number for each block."""

    values = "A whole number of at least 1, or one for each block"

    def __call__(self, name: str, value: Any) -> int | tuple[int, ...]:
        if isinstance(value, (list, tuple)):
            return tuple(Whole()(name, item) for item in value)
        return Whole()(name, value)


@dataclass(frozen=True)
class Number:
    """A number above `above`."""

    above: float | None = None
    advice: str = ""  # what to use instead of a smaller one

    @property
    def values(self) -> str:
        return "A number" if self.above is None else f"Above {self.above:g}"

    def __call__(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, Real):
            raise wrong_type(name, value, "a number")
        number = float(value)
        if self.above is not None and not number > self.above:
            raise out_of_range(name, value, f"above {self.above:g}", self.advice)
        return number


@dataclass(frozen=True)
class Share:
    """A share that is dropped in training."""

    values = "At least 0 and below 1"

    def __call__(self, name: str, value: Any) -> Any:
        if not 0 <= Number()(name, value) < 1:
            raise out_of_range(name, value, "at least 0 and below 1", DROPPED)
        return value


class Choice:
    """One of several values, such as names."""

    def __init__(self, *choices: Any) -> None:
        self.choices = choices

    @property
    def values(self) -> str:
        shown = [f'"{c}"' if isinstance(c, str) else str(c) for c in self.choices]
        return f"{', '.join(shown[:-1])} or {shown[-1]}"

    def __call__(self, name: str, value: Any) -> Any:
        if value not in self.choices:
            raise out_of_range(name, value, f"one of {list(self.choices)}", SPELLING)
        # 1 == True and numpy has its own, which `is` tells apart.
        return value if value is None or isinstance(value, str) else bool(value)


@dataclass(frozen=True)
class Flag:
    """On or off."""

    values = "True or False"

    def __call__(self, name: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise wrong_type(name, value, "True or False")
        return value


@dataclass(frozen=True)
class Activation:
    """The name of an activation, which the layer that uses it looks up."""

    values = "The name of a Keras activation"

    def __call__(self, name: str, value: Any) -> Any:
        return value


def wrong_type(name: str, value: Any, what: str) -> TypeError:
    """Return the error for a value that is of another type than `what`."""
    return TypeError(
        f"{name} must be {what}, received {name}={value!r} ({type(value).__name__}). "
        f"Pass {what}."
    )


def out_of_range(name: str, value: Any, what: str, advice: str = "") -> ValueError:
    """Return the error for a value of the right type that is not `what`."""
    return ValueError(f"{name} must be {what}, received {name}={value!r}.{advice}")
