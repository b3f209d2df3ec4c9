"""Checks the values of a configuration by the type hints of the classes and functions that they are given to."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from os import PathLike
from pathlib import PurePath
from pkgutil import resolve_name
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from omegaconf import DictConfig, ListConfig, OmegaConf

from inpaint.errors import UserError

KEYS = {
    "name": str,
    "tags": list[str | float],
    "fit": bool,
    "test": bool,
    "seed": int,
    "objective": str | None,
    "ckpt_path": str | None,
    "paths.output": str,
}
"""Hints for the keys that no class or function takes."""
SIMILAR = 0.7
"""How like two names are, as difflib counts it, of which one may have been written for the other."""
NODE = "a node with a _target_"
WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", NoneType: "null", None: "null"}


def check_types(node: DictConfig | ListConfig, key: str = "", hints: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Compares each plain value (numbers, texts, lists of them, ...) with the hint for it, in this node and below.

    A node with a `_target_` brings hints of its own: those of the parameters of what it names. Passed over are what
    is built from another `_target_`, and a value whose hint is missing or not understood.

    Args:
        node: of a composed configuration; interpolations are resolved.
        key: where it stands in the configuration, for the message.
        hints: by the name of the value.

    Raises:
        UserError: names the first value that does not fit, and says what it must be.
    """
    items: Any = node.items() if isinstance(node, DictConfig) else enumerate(node)
    values = {str(name): value for name, value in items if not str(name).startswith("_")}  # not Hydra's _target_, ...
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    names = accepted(target)
    if unknown := next((name for name in values if names is not None and name not in names), None):
        meant = [f"{key}{name}" for name in like(unknown, names or ())]
        hint = f"did you mean {' or '.join(meant)}?" if meant else f"it takes {', '.join(sorted(names or ()))}."
        raise UserError(f"{target} takes no {unknown} ({key}{unknown}): {hint}")
    for name, value in values.items():
        where = f"{key}{name}"
        hint = hints.get(name, KEYS.get(where, Any))
        plain = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        if not holds_target(plain) and not fits(plain, hint):
            must_be = described(hint)
            if must_be.startswith("a list") and not isinstance(plain, list | dict | NoneType):
                must_be += f", in brackets: {where}=[{plain},{plain}]"
            raise UserError(f"{where} is {plain!r}, but must be {must_be}.")
    for name, value in values.items():
        if isinstance(value, DictConfig):
            check_types(value, f"{key}{name}.", parameter_hints(value.get("_target_")))
        elif isinstance(value, ListConfig):
            check_types(value, f"{key}{name}.")


def parameter_hints(target: Any) -> dict[str, Any]:
    """The type hints of the parameters of the class or function that a `_target_` names, by parameter.

    Those of base classes are among them, for what a class takes as `**options` goes there. Nothing is raised: what
    cannot be found or has no signature has no hints, and fails when it is built.
    """
    try:
        made = resolve_name(target)
    except Exception:  # there is none; or whatever the import of a foreign module raises
        return {}
    bases = reversed(inspect.getmro(made)) if inspect.isclass(made) else ()
    hints: dict[str, Any] = {}
    for function in (*(vars(base)["__init__"] for base in bases if "__init__" in vars(base)), made):
        with suppress(TypeError, ValueError, NameError):
            for parameter in inspect.signature(function, eval_str=True).parameters.values():
                if parameter.annotation is not parameter.empty:
                    hints[parameter.name] = parameter.annotation
                    if parameter.default is None:
                        hints[parameter.name] = Union[parameter.annotation, None]  # noqa: UP007 - of any hint
    return hints


def accepted(target: Any) -> set[str] | None:
    """The names of the arguments that the class or function of a `_target_` takes; None if any, or if there is none.

    What a class takes as `**options` goes to its base class.
    """
    try:
        made = resolve_name(target)
    except Exception:  # as in parameter_hints
        return None
    bases = inspect.getmro(made)[1:-1] if inspect.isclass(made) else ()
    inits = [vars(base)["__init__"] for base in bases if "__init__" in vars(base)]
    names: set[str] = set()
    for function in (made, *inits):
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            return None
        names |= {each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            return names - {"self"}
    return None


def like(name: str, names: Iterable[str]) -> list[str]:
    """Those of the names that are most like this one.

    They have its words in another order, or are their initials (`lr` for `learning_rate`); else its letters, nearly.
    """
    names, words = list(dict.fromkeys(names)), name.split("_")
    initials = "".join(word[:1] for word in words) if len(words) > 1 else None
    same = [other for other in names if sorted(other.split("_")) == sorted(words) or other == initials]
    return same or get_close_matches(name, names, n=3, cutoff=SIMILAR)


def holds_target(value: Any) -> bool:
    """Whether something in a plain value is built by Hydra, so that its own type says nothing."""
    if isinstance(value, dict):
        return "_target_" in value or any(map(holds_target, value.values()))
    return isinstance(value, list) and any(map(holds_target, value))


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain value may be given where the hint stands; true if the hint is not understood.

    A whole number is a number, a list is any sequence, a text is a path; true and false are no numbers.
    """
    kind, arguments = get_origin(hint) or hint, get_args(hint)
    if kind is Union or kind is UnionType:
        return any(fits(value, argument) for argument in arguments)
    if kind is Literal:
        return any(value == argument and type(value) is type(argument) for argument in arguments)
    if kind is Annotated:
        return fits(value, arguments[0])
    if kind is None:
        return value is None
    if kind in (Any, object) or not isinstance(kind, type):  # or a TypeVar, a name
        return True
    if isinstance(value, bool) or value is None:
        return kind is type(value)
    if isinstance(value, str):
        return kind in (str, PathLike) or issubclass(kind, PurePath)
    if isinstance(value, int) and kind is float:
        return True
    if isinstance(value, list) and (kind in (tuple, set, frozenset) or is_a(list, kind)):
        if kind is tuple and arguments and arguments[-1] is not Ellipsis:
            return len(value) == len(arguments) and all(map(fits, value, arguments))
        return not arguments or all(fits(item, arguments[0]) for item in value)
    return is_a(type(value), kind)


def is_a(kind: type, other: type) -> bool:
    """`issubclass`, but true for what cannot be asked (some protocols)."""
    try:
        return issubclass(kind, other)
    except TypeError:
        return True


def described(hint: Any) -> str:
    """What a value must be to fit the hint, in words that follow "must be"."""
    *others, last = dict.fromkeys(options(hint))
    return f"{', '.join(others)} or {last}" if others else last


def options(hint: Any) -> list[str]:
    """What may be given where the hint stands, in words; values before nodes."""
    kind, arguments = get_origin(hint) or hint, get_args(hint)
    if kind is Union or kind is UnionType:
        kept = [argument for argument in arguments if argument is not int or float not in arguments]
        return sorted((word for argument in kept for word in options(argument)), key=lambda word: NODE in word)
    if kind is Literal:
        return [str(argument) for argument in arguments]
    if kind is Annotated:
        return options(arguments[0])
    if kind in WORDS:
        return [WORDS[kind]]
    if kind is PathLike or (isinstance(kind, type) and issubclass(kind, PurePath)):
        return ["a path"]
    if kind in (tuple, set, frozenset) or (isinstance(kind, type) and is_a(list, kind)):
        length = f" of {len(arguments)}" if kind is tuple and arguments and Ellipsis not in arguments else ""
        return [f"a list{length}" + (f", each item {described(arguments[0])}" if arguments else "")]
    return [f"{NODE} and _partial_: true" if kind is Callable else NODE]
