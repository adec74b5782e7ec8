"""What training code puts around weights: dictionaries, and prefixes of names.

One table for files of every kind. Sets of weights have a rank by the words in their
names: averages come before the weights of the last step, teachers before students.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from keras_vit.checkpoints.entries import Arrays
from keras_vit.checkpoints.files.lazy_arrays import LazyArrays

# By what they do to the rank of a set of weights; the first that fits counts.
_RANKS: tuple[tuple[int, frozenset[str]], ...] = (
    (9, frozenset({"student", "online", "current", "predictor", "decoder", "raw"})),
    (0, frozenset({"ema", "swa", "averaged", "average", "avg", "shadow"})),
    (1, frozenset({"teacher", "target"})),
    (2, frozenset({"state", "model", "net", "network", "weights", "params", "module"})),
    (3, frozenset({"encoder", "backbone", "vit", "base"})),
)
_UNKNOWN = 5
# Dictionaries with tensors that are no weights of a model.
_NO_WEIGHTS = ("optim", "sched", "scaler", "criterion", "loss", "rng", "loops", "amp")
# Set into names by wrappers of modules, at any place.
_MARKS = re.compile(
    r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module"
    r"|_forward_module)\."
)
_COUNTERS = ("n_averaged", "num_updates", "num_batches_tracked", "initted", "step")

Value = TypeVar("Value")


def weights_inside(
    state: Mapping[Any, Any], is_array: Callable[[Any], bool], source: str
) -> Mapping[str, Any]:
    """Return the weights in the dictionary that a training script saves.

    Args:
        state: the dictionary; may be the weights themselves.
        is_array: tells arrays with at least two axes, which weights have and numbers
            of a training state do not.
        source: for messages.

    Raises:
        ValueError: if there are several sets of weights and their names say nothing.
    """
    found = dict(_sets(state, is_array))
    if not found:
        return state
    largest = max(map(len, found.values()))
    found = {keys: inner for keys, inner in found.items() if 4 * len(inner) >= largest}
    if () in found:
        return found[()]
    is_predicted = any(keys[0] == "predictor" for keys in found)
    if is_predicted and ("encoder",) in found:
        # timm and transformers take the encoder of I-JEPA, which has a predictor.
        return found[("encoder",)]
    names = {".".join(map(str, keys)): inner for keys, inner in found.items()}
    return names[preferred(names, source, "under the key")]


def _sets(
    state: Mapping[Any, Any],
    is_array: Callable[[Any], bool],
    keys: tuple[Any, ...] = (),
) -> Iterable[tuple[tuple[Any, ...], Mapping[str, Any]]]:
    if any(is_array(value) for value in state.values()):
        yield keys, {k: v for k, v in state.items() if isinstance(k, str)}
    for key, value in state.items():
        is_other = str(key).lower().startswith(_NO_WEIGHTS)
        if isinstance(value, Mapping) and not is_other and len(keys) < 4:
            yield from _sets(value, is_array, (*keys, key))


def preferred(names: Iterable[str], source: str, where: str) -> str:
    """Return the best of the names of several sets of weights, and say which it is.

    Args:
        names: of the sets.
        source: for messages.
        where: what the names are, for messages.

    Raises:
        ValueError: if none of several names says that it is the best.
    """
    ranked = sorted(names, key=lambda name: (_rank(name), len(name)))
    best, *others = ranked
    if not others:
        return best
    if _rank(best) == _rank(others[0]) or _rank(best) >= _UNKNOWN:
        raise ValueError(
            f"{source!r} holds several sets of weights, and their names do not say "
            f"which are those of the model; received {ranked}. Save one of them alone, "
            "such as torch.save(weights, 'weights.pth')."
        )
    kind = "averaged " if _rank(best) <= 1 else ""
    warnings.warn(
        f"{source!r} holds {len(ranked)} sets of weights; the {kind}ones {where} "
        f"{best!r} are read, those of {others} are left out. Save another set alone to "
        "load that.",
        stacklevel=2,
    )
    return best


def _rank(name: str) -> int:
    words = set(re.split(r"[^a-z]+", name.lower()))
    return next((rank for rank, known in _RANKS if words & known), _UNKNOWN)


def without_marks(arrays: Mapping[str, Value], source: str) -> dict[str, Value]:
    """Return arrays by their names without what wrappers of modules put into them.

    Those are torch.compile, DataParallel, FSDP, activation checkpointing, and the
    counters of averages.

    Raises:
        ValueError: if two names become one.
    """
    found: dict[str, Value] = {}
    for original, value in arrays.items():
        name = _MARKS.sub("", original)
        while name.startswith("module."):
            name = name.removeprefix("module.")
        if name in _COUNTERS:
            continue
        if name in found:
            raise ValueError(
                f"{source!r} must hold each array once, received several called "
                f"{name!r} when wrappers are removed. Save the weights of one model."
            )
        found[name] = value
    return found


def plain_arrays(arrays: Arrays, source: str) -> Arrays:
    """Return `without_marks` of arrays that are read when they are asked for."""
    names = without_marks({name: name for name in arrays}, source)
    if all(name == original for name, original in names.items()):
        if len(names) == len(arrays):
            return arrays
    return LazyArrays({n: (lambda o=o: arrays[o]) for n, o in names.items()})


def outer_prefixes(names: Iterable[str], anchor: str) -> set[str]:
    """Return what stands before the names that fit a regular expression.

    Args:
        names: of the arrays.
        anchor: for the rest of one name of each model. What stands before it are
            attributes of the modules around the model.
    """
    pattern = re.compile(rf"((?:\w+\.)*?){anchor}")
    return {match[1] for match in map(pattern.fullmatch, names) if match}


def inner_arrays(arrays: Arrays, anchor: str, source: str) -> Arrays:
    """Return the arrays of the model inside other modules, by its own names.

    Args:
        arrays: by name.
        anchor: regular expression that one name of the model fits.
        source: for messages.
    """
    prefixes = outer_prefixes(arrays, anchor)
    if not prefixes:
        return arrays
    prefix = preferred(prefixes, source, "under the prefix")
    others = tuple(prefixes - {prefix})
    if not prefix and not others:
        return arrays
    return inside(
        arrays, prefix, source, lambda name: bool(others) and name.startswith(others)
    )


def inside(
    arrays: Arrays,
    prefix: str,
    source: str,
    is_known: Callable[[str], bool] = lambda name: False,
) -> Arrays:
    """Return the arrays under a prefix, without it, and say which others there are.

    Args:
        arrays: by name.
        prefix: of the model.
        source: for messages.
        is_known: tells names outside of it that are left out on purpose.
    """
    others = [n for n in arrays if not n.startswith(prefix) and not is_known(n)]
    if others:
        warnings.warn(
            f"{source!r}: the model is under {prefix!r}; {len(others)} arrays outside "
            f"of it are left out: {', '.join(sorted(others)[:4])}"
            f"{', ...' * (len(others) > 4)}.",
            stacklevel=2,
        )
    inner = [name for name in arrays if name.startswith(prefix)]
    return LazyArrays({n.removeprefix(prefix): (lambda n=n: arrays[n]) for n in inner})
