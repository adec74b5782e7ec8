"""Checks of options, which raise errors of one form."""

from __future__ import annotations

from typing import Any


def check_value(is_valid: bool, name: str, value: Any, rule: str) -> None:
    """Raise a ValueError that says what an option must be and what was received.

    Args:
        is_valid: whether the value keeps the rule.
        name: of the option.
        value: that was received.
        rule: what follows "must be", such as "in [0, 1]".
    """
    if not is_valid:
        raise ValueError(f"{name} must be {rule}, received {name}={value!r}.")


def check_count(name: str, value: Any, least: int) -> None:
    """Raise a ValueError unless an option is a whole number of at least `least`."""
    is_count = isinstance(value, int) and not isinstance(value, bool)
    rule = f"a whole number of at least {least}"
    check_value(is_count and value >= least, name, value, rule)
