"""Arguments of a task: bound to its signature, checked by type, written as one JSON object."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable
from typing import Any, Union, get_type_hints

import msgspec
from msgspec import inspect as types

from . import codec
from .errors import BadArguments, ConfigError
from .task import Parameter


class Signature:
    """The parameters of one function, as a checker of arguments.

    Annotations may be whatever msgspec can read from JSON; a parameter without one takes any JSON value.
    Raises ConfigError for a function that cannot be a task: positional-only parameters, *args, or
    an annotation that has no JSON form.
    """

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.name = name
        self._signature = inspect.signature(function)
        hints = _hints(function, name)
        fields: list[Any] = []
        self.parameters: list[Parameter] = []
        self.takes_any_names = False
        for parameter in self._signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                self.takes_any_names = True
                continue
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
                raise ConfigError(
                    f"task {name}: arguments travel by name, so *{parameter.name} and positional-only "
                    "parameters cannot be used; take a list instead"
                )
            hint = hints.get(parameter.name, Any)
            _refuse_unreadable(hint, f"task {name}, parameter {parameter.name}")
            is_required = parameter.default is parameter.empty
            self.parameters.append(Parameter(parameter.name, is_required))
            # UNSET keeps a default out of the message, so that a deploy may change it for waiting jobs.
            field = (
                (parameter.name, hint)
                if is_required
                else (parameter.name, Union[hint, msgspec.UnsetType], msgspec.UNSET)  # noqa: UP007  (Any has no |)
            )
            fields.append(field)
        struct = msgspec.defstruct("arguments", fields, kw_only=True, forbid_unknown_fields=not self.takes_any_names)
        self._struct = struct
        self._decoder = msgspec.json.Decoder(struct)
        self._known = frozenset(parameter.name for parameter in self.parameters)
        self.returns = hints.get("return", Any)
        _refuse_unreadable(self.returns, f"task {name}, its result")
        self._result = msgspec.json.Decoder(self.returns)

    @functools.cached_property
    def shape(self) -> str:
        """Stands for what a message may look like: a version of the task with other parameters has another one."""
        schema = msgspec.json.encode(msgspec.json.schema(self._struct), order="deterministic")
        return hashlib.sha256(schema + bytes([self.takes_any_names])).hexdigest()[:8]

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """The JSON object for a call, checked by reading it back as the executor will.

        Raises BadArguments, with the path of the bad value, and PayloadTooLarge.
        """
        named = self._bind(args, kwargs)
        try:
            data = codec.encode(named)
        except (TypeError, ValueError, OverflowError) as error:
            raise BadArguments(f"{self.name}: an argument has no JSON form: {error}") from error
        codec.refuse_large(data, f"arguments of {self.name}")
        self.decode(data)
        return data

    def decode(self, data: bytes) -> dict[str, Any]:
        """Keyword arguments for the function. Raises BadArguments with the path of the bad value."""
        try:
            found = self._decoder.decode(data)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise BadArguments(f"{self.name}: {error}") from error
        named = {name: value for name in self._known if (value := getattr(found, name)) is not msgspec.UNSET}
        if self.takes_any_names:
            named |= {k: v for k, v in codec.decode(data).items() if k not in self._known}
        return named

    def decode_result(self, data: bytes) -> Any:
        """A result as the function's return annotation says; None for no bytes."""
        return self._result.decode(data) if data else None

    def part(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Some of the arguments of a call as plain JSON values, unchecked. Raises BadArguments for unknown names."""
        try:
            bound = self._signature.bind_partial(*args, **kwargs)
        except TypeError as error:
            raise BadArguments(f"{self.name}{self._signature}: {error}") from None
        return codec.decode(codec.encode(self._named(bound)))

    def all_values(self, data: bytes) -> dict[str, Any]:
        """The arguments as plain JSON values, defaults filled in, in the order of the signature."""
        given = codec.decode(data)
        full: dict[str, Any] = {}
        for name, parameter in self._signature.parameters.items():
            if name in given:
                full[name] = given.pop(name)
            elif parameter.default is not parameter.empty:
                full[name] = msgspec.to_builtins(parameter.default)
        return full | given

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise BadArguments(f"{self.name}{self._signature}: {error}") from None
        return self._named(bound)

    def _named(self, bound: inspect.BoundArguments) -> dict[str, Any]:
        named: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            if self._signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                named.update(value)
            else:
                named[name] = value
        return named


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ConfigError(
            f"task {name}: an annotation cannot be read: {error}; import the type outside of TYPE_CHECKING"
        ) from error


def _refuse_unreadable(hint: Any, where: str) -> None:
    if hint is None:
        return
    try:
        found = types.type_info(hint)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error
    if any(isinstance(part, types.CustomType) for part in _parts(found)):
        raise ConfigError(f"{where}: {hint!r} has no JSON form; use a dataclass, a msgspec.Struct, or plain values")


def _parts(found: types.Type) -> list[types.Type]:
    """The type and what it is made of, for the shapes that hold others directly."""
    parts: list[types.Type] = [found]
    for name in ("types", "item_types"):
        for inner in getattr(found, name, ()):
            parts += _parts(inner)
    for name in ("item_type", "key_type", "value_type"):
        inner = getattr(found, name, None)
        if isinstance(inner, types.Type):
            parts += _parts(inner)
    return parts
