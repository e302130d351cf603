"""Arguments are checked against the signature when enqueued, and again when run."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from narrowboat import BadArguments, ConfigError, PayloadTooLarge
from narrowboat.core.arguments import Signature, kind_of
from narrowboat.core.job import MAX_PAYLOAD


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Size:
    width: int
    height: int


class Crop(msgspec.Struct):
    box: tuple[int, int, int, int]


def everything(
    size: Size,
    crop: Crop,
    colour: Colour,
    day: datetime.date,
    moment: datetime.datetime,
    ident: UUID,
    price: Decimal,
    raw: bytes,
    tags: set[str],
    pair: tuple[int, str],
    *,
    width: int = 320,
) -> None: ...


def test_every_promised_type_survives_the_trip() -> None:
    signature = Signature(everything, "m.everything")
    values: dict[str, Any] = {
        "size": Size(1, 2),
        "crop": Crop((0, 0, 9, 9)),
        "colour": Colour.RED,
        "day": datetime.date(2026, 11, 23),
        "moment": datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC),
        "ident": UUID(int=7),
        "price": Decimal("9.90"),
        "raw": b"\x00\xff",
        "tags": {"a", "b"},
        "pair": (1, "x"),
        "width": 5,
    }
    assert signature.decode(signature.encode((), values)) == values


def resize(path: str, width: int = 320, sizes: list[Size] | None = None) -> str:
    return path


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((1,), {}, r"Expected `str`, got `int` - at `\$.path`"),
        (("a",), {"width": "5"}, r"\$.width"),
        (("a",), {"sizes": [Size(1, 2), {"width": 1, "height": "x"}]}, r"\$.sizes\[1\].height"),
        ((), {}, "missing a required argument: 'path'"),
        (("a",), {"widht": 3}, "unexpected keyword argument 'widht'"),
        (("a", 1, None, 4), {}, "too many positional arguments"),
        (("a",), {"width": object()}, "no JSON form"),
        (("a",), {"width": float("nan")}, r"\$.width"),
    ],
)
def test_wrong_arguments_are_refused_with_the_path_of_the_bad_value(
    args: tuple[Any, ...], kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadArguments, match=message):
        Signature(resize, "m.resize").encode(args, kwargs)


def only_named(path: str, *, width: int) -> None: ...


def test_an_argument_that_must_be_named_is_missed() -> None:
    signature = Signature(only_named, "m.only_named")
    assert signature.encode(("a",), {"width": 1}) == b'{"path":"a","width":1}'
    with pytest.raises(BadArguments, match=r"missing a required (keyword-only )?argument: 'width'"):
        signature.encode(("a",), {})
    with pytest.raises(BadArguments, match="too many positional arguments"):
        signature.encode(("a", 1), {})


def test_arguments_are_checked_again_when_run() -> None:
    with pytest.raises(BadArguments, match=r"m.resize: .*\$.width"):
        Signature(resize, "m.resize").decode(b'{"path": "a", "width": "wide"}')


def test_a_default_is_not_sent_so_that_a_deploy_can_change_it() -> None:
    assert Signature(resize, "m.resize").encode(("a",), {}) == b'{"path":"a"}'


def test_oversized_arguments_are_refused_with_the_limit() -> None:
    with pytest.raises(PayloadTooLarge, match="256 KiB"):
        Signature(resize, "m.resize").encode(("x" * MAX_PAYLOAD,), {})


def test_extra_names_go_to_kwargs() -> None:
    def anything(a: int, **rest: Any) -> None: ...

    signature = Signature(anything, "m.anything")
    assert signature.decode(signature.encode((1,), {"b": [2]})) == {"a": 1, "b": [2]}


class Opaque: ...


def takes_star(*items: int) -> None: ...
def takes_positional(a: int, /) -> None: ...
def takes_opaque(a: dict[str, list[Opaque]]) -> None: ...
def returns_opaque() -> Opaque: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (takes_star, r"\*items"),
        (takes_positional, "positional-only"),
        (takes_opaque, "parameter a: .*no JSON form"),
        (returns_opaque, "result: .*no JSON form"),
    ],
)
def test_functions_that_cannot_be_tasks_are_refused_when_declared(function: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Signature(function, "m.f")


def test_text_of_a_kind_of_its_own_travels_as_text() -> None:
    class Safe(str):
        def __str__(self) -> str:
            return self

    def greet(name: str) -> None: ...

    assert Signature(greet, "shop.greet").encode((Safe("Ada"),), {}) == b'{"name":"Ada"}'


def test_the_kinds_of_values_that_a_parameter_takes_are_published_where_they_say_enough() -> None:
    signature = Signature(everything, "m.everything")
    takes = {parameter.name: parameter.takes for parameter in signature.parameters}
    assert takes == {
        "size": ("an object",),
        "crop": ("an object",),
        **dict.fromkeys(("colour", "day", "moment", "ident", "price", "raw", "tags", "pair"), ()),
        "width": ("a whole number",),
    }

    def mixed(ratio: float, name: str | None, many: list[int] | bool, anything: Any) -> None: ...

    assert [parameter.takes for parameter in Signature(mixed, "m.mixed").parameters] == [
        ("a number", "a whole number"),
        ("a text", "null"),
        ("a list", "true or false"),
        (),
    ]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        (True, "true or false"),
        (1, "a whole number"),
        (1.0, "a whole number"),
        (1.5, "a number"),
        ("1", "a text"),
        ([1], "a list"),
        ({}, "an object"),
    ],
)
def test_the_kind_of_a_json_value_is_that_of_the_types_it_can_be_read_as(value: object, kind: str) -> None:
    assert kind_of(value) == kind
