"""The arguments that an object was made with, for its `get_config`."""

from __future__ import annotations

import inspect
from typing import Any


def own_arguments(made: Any) -> dict[str, Any]:
    """Return the named arguments of `__init__`, by the attributes of the same names.

    What `**kwargs` takes belongs to the parent class, which describes it itself.

    Args:
        made: object that keeps each argument under the name of its parameter.
    """
    parameters = inspect.signature(made.__init__).parameters.values()
    names = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
    return {name: getattr(made, name) for name in names}
