"""Values of a configuration against the type hints of what they are given to."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Optional, TypeVar

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from inpaint.errors import UserError
from inpaint.train.types import accepted, check_types, described, fits

T = TypeVar("T")


class Base:
    def __init__(self, size: int) -> None: ...


class Taker(Base):
    """What the nodes of these tests name."""

    def __init__(  # quiet: as older libraries write it
        self,
        rate: float,
        inner: Any = None,
        names: Sequence[str] = (),
        quiet: bool = None,  # type: ignore[assignment]  # noqa: RUF013
        **base: Any,
    ) -> None: ...


class Plain(NamedTuple):
    count: int


HERE = f"{__name__}."


@pytest.mark.parametrize(
    ("hint", "right", "wrong"),
    [
        (int, [0, -3], [1.5, True, "1", None, [1]]),
        (float, [0, 1.5, float("inf")], [True, "1.5", None]),
        (bool, [True, False], [0, 1, "true"]),
        (str, ["", "a"], [1, None, ["a"], {"a": 1}]),
        (Path, ["a/b"], [1, True, None]),
        (str | Path | None, ["a", None], [3, ["a"]]),
        (Optional[int], [3, None], ["null"]),  # noqa: UP045 - as many libraries write it
        (Literal["a", 1], ["a", 1], ["b", True, 2]),
        (list[int], [[], [1, 2]], [[1.5], 1, "12", {"a": 1}]),
        (Sequence[str], [["a"]], ["a", [1]]),
        (tuple[float, float], [[1, 2.5]], [[1], [1, 2, 3], [1, "a"]]),
        (tuple[int, ...], [[], [1, 2, 3]], [[0.5]]),
        (dict[str, int], [{"a": 1}], [[1], "a"]),
        (Callable[[int], int], [], [3, "f", [1]]),
        (nn.Module | None, [None], [3, "ELU"]),
        (torch.Tensor | float, [2.0], ["a"]),
        (Any, [1, "a", None, [1], {"a": 1}], []),
        (T, [1, "a", None], []),
        ("a name", [1, "a", None], []),
    ],
)
def test_what_fits_a_hint(hint: Any, right: list[Any], wrong: list[Any]) -> None:
    assert [value for value in right if not fits(value, hint)] == []
    assert [value for value in wrong if fits(value, hint)] == []


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int | float | None, "a number or null"),
        (str | Path | None, "text, a path or null"),
        (tuple[float, float], "a list of 2, each item a number"),
        (Literal["ncc", "l2"], "ncc or l2"),
        (Callable[..., int] | None, "null or a node with a _target_ and _partial_: true"),
    ],
)
def test_what_it_must_be_in_words(hint: Any, words: str) -> None:
    assert described(hint) == words


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        ({"_target_": "Taker", "rate": "fast"}, "part.rate is 'fast', but must be a number."),
        (
            {"_target_": "Taker", "rate": 1, "size": 2.5},
            "part.size is 2.5, but must be a whole number.",
        ),  # the base class's
        ({"_target_": "Taker", "rate": 1, "quiet": 3}, "part.quiet is 3, but must be true or false or null."),
        ({"_target_": "Taker", "_partial_": True, "rate": None}, "part.rate is None, but must be a number."),
        ({"_target_": "Taker", "rate": "${value}"}, "part.rate is 'text', but must be a number."),
        ({"_target_": "Taker", "rate": 1, "names": ["a", "${number}"]}, "part.names is ['a', 3], but must be a list"),
        ({"_target_": "Taker", "rate": 1, "inner": {"_target_": "Plain", "count": 0.5}}, "part.inner.count is 0.5"),
        ({"inner": [{"_target_": "Plain", "count": True}]}, "part.inner.0.count is True"),
        (
            {"_target_": "Taker", "rate": 1, "nmaes": []},
            "tests.train.test_types.Taker takes no nmaes (part.nmaes): did",
        ),
        (
            {"_target_": "Plain", "zebra": 1},
            "tests.train.test_types.Plain takes no zebra (part.zebra): it takes count.",
        ),
    ],
)
def test_the_key_the_value_and_what_it_must_be(node: dict[str, Any], sentence: str) -> None:
    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {key: HERE + item if key == "_target_" else named(item) for key, item in value.items()}

    with pytest.raises(UserError) as refused:
        check_types(OmegaConf.create({"value": "text", "number": 3, "part": named(node)}))
    assert str(refused.value).startswith(sentence)


def test_the_arguments_that_a_target_takes() -> None:
    """Those of its base class where it hands on what it does not know; any, where the base class does as well."""
    assert accepted(f"{HERE}Taker") == {"rate", "inner", "names", "quiet", "size"}
    assert accepted(f"{HERE}Plain") == {"count"}
    assert accepted("builtins.dict") is None
    assert accepted(f"{HERE}nothing") is None
    assert accepted(None) is None


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": f"{HERE}Taker", "rate": {"_target_": "builtins.float"}},  # built, so nobody knows yet
        {"_target_": f"{HERE}nothing", "rate": "fast"},
        {"_target_": 3, "rate": "fast"},
        {"rate": "fast"},
    ],
)
def test_what_cannot_be_compared_passes(node: dict[str, Any]) -> None:
    check_types(OmegaConf.create({"part": node}))
