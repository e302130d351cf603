"""Arguments of a task: bound to its signature, checked by type, written as one JSON object."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect as types

from . import codec
from .digest import sha256
from .errors import BadArguments, ConfigError
from .file import MOST_FILES, Accept, File, FileRef, Put, by_content, read_hook, replaced
from .task import Parameter

_SIMPLE: dict[type[types.Type], str] = {
    types.NoneType: "null",
    types.BoolType: "true or false",
    types.IntType: "a whole number",
    types.FloatType: "a number",
    types.StrType: "a text",
    types.ListType: "a list",
    types.DictType: "an object",
    types.StructType: "an object",
    types.DataclassType: "an object",
    types.TypedDictType: "an object",
}


def kind_of(value: Any) -> str:
    """What kind of JSON value it is, in words. Raises KeyError for what is none."""
    if isinstance(value, float):
        return "a whole number" if value.is_integer() else "a number"
    found = {bool: types.BoolType, int: types.IntType, str: types.StrType, list: types.ListType, dict: types.DictType}
    return _SIMPLE[types.NoneType if value is None else found[type(value)]]


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
        self._accepts: dict[str, Accept] = {}
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
            is_file = _has_files(hint, f"task {name}, parameter {parameter.name}")
            if is_file:
                self._accepts[parameter.name] = _accept(hint)
            is_required = parameter.default is parameter.empty
            self.parameters.append(Parameter(parameter.name, is_required, is_file, _kinds(types.type_info(hint))))
            # UNSET keeps a default out of the message, so that a deploy may change it for waiting jobs.
            field = (
                (parameter.name, hint)
                if is_required
                else (parameter.name, Union[hint, msgspec.UnsetType], msgspec.UNSET)  # noqa: UP007  (Any has no |)
            )
            fields.append(field)
        struct = msgspec.defstruct("arguments", fields, kw_only=True, forbid_unknown_fields=not self.takes_any_names)
        self._struct = struct
        self._decoder = msgspec.json.Decoder(struct, dec_hook=read_hook)
        self._names = [parameter.name for parameter in self.parameters]
        self._known = frozenset(self._names)
        self._required = frozenset(parameter.name for parameter in self.parameters if parameter.is_required)
        keyword_only = inspect.Parameter.KEYWORD_ONLY
        self._positional = [name for name in self._names if self._signature.parameters[name].kind is not keyword_only]
        fewest = sum(parameter.is_required for parameter in self.parameters)
        all_by_place = self._required.issubset(self._positional)
        self._enough = range(fewest, len(self._positional) + 1) if all_by_place else ()  # arguments, without names
        self.takes_files = bool(self._accepts)  # whether an argument is a File, or holds some
        self.returns = hints.get("return", Any)
        self.gives_files = _has_files(self.returns, f"task {name}, its result")
        self._result = msgspec.json.Decoder(self.returns, dec_hook=read_hook)

    @property
    def counts_pixels(self) -> bool:
        """Whether an argument takes pictures up to a number of pixels."""
        return any(accept.pixels is not None for accept in self._accepts.values())

    @functools.cached_property
    def shape(self) -> str:
        """Stands for what a message may look like: a version of the task with other parameters has another one."""
        schema = msgspec.json.encode(msgspec.json.schema(self._struct, schema_hook=_schema), order="deterministic")
        return sha256(schema + bytes([self.takes_any_names]))[:8]

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any], put: Put | None = None) -> bytes:
        """The JSON object for a call, checked by reading it back as the executor will.

        put: stores a File and gives what stands for it. Raises BadArguments, with the path of the bad value, and
        PayloadTooLarge.
        """
        named = self._bind(args, kwargs)
        try:
            data = codec.encode(self._with_files(named, put) if put and self._accepts else named)
        except BadArguments:
            raise
        except (TypeError, ValueError, OverflowError) as error:
            raise BadArguments(f"{self.name}: an argument has no JSON form: {error}") from error
        codec.refuse_large(data, "arguments of", self.name)
        self._read(data)
        return data

    def decode(self, data: bytes) -> dict[str, Any]:
        """Keyword arguments for the function. Raises BadArguments with the path of the bad value."""
        found = self._read(data)
        named: dict[str, Any] = {}
        for name in self._known:
            value = getattr(found, name)
            if value is not msgspec.UNSET:
                named[name] = value
        if self.takes_any_names:
            named |= {k: v for k, v in codec.decode(data).items() if k not in self._known}
        return named

    def _read(self, data: bytes) -> Any:
        try:
            return self._decoder.decode(data)
        except codec.UNREADABLE as error:
            raise BadArguments(f"{self.name}: {error}") from error

    def decode_result(self, data: bytes) -> Any:
        """A result as the function's return annotation says; None for no bytes."""
        return self._result.decode(data) if data else None

    def part(self, args: tuple[Any, ...], kwargs: dict[str, Any], shown: Callable[[FileRef], Any]) -> dict[str, Any]:
        """Some of the arguments of a call as plain JSON values, unchecked. Raises BadArguments for unknown names."""
        try:
            bound = self._signature.bind_partial(*args, **kwargs)
        except TypeError as error:
            raise BadArguments(f"{self.name}{self._signature}: {error}") from None
        named = self._named(bound)
        if not self._accepts:
            return codec.decode(codec.encode(named))
        return replaced(codec.decode(codec.encode(self._with_files(named, by_content))), shown)

    def all_values(self, data: bytes, shown: Callable[[FileRef], Any] | None = None) -> dict[str, Any]:
        """The arguments as plain JSON values, defaults filled in, in the order of the signature.

        shown: what stands for a file.
        """
        given = codec.decode(data)
        if shown is not None and self._accepts:
            given = replaced(given, shown)
        full: dict[str, Any] = {}
        for name, parameter in self._signature.parameters.items():
            if name in given:
                full[name] = given.pop(name)
            elif parameter.default is not parameter.empty:
                full[name] = msgspec.to_builtins(parameter.default)
        return full | given

    def _with_files(self, named: dict[str, Any], put: Put) -> dict[str, Any]:
        count = 0

        def hook_for(accept: Accept) -> Callable[[Any], Any]:
            def hook(value: Any) -> Any:
                nonlocal count
                if not isinstance(value, File):
                    return codec.plain(value)
                count += 1
                if count > MOST_FILES:
                    raise BadArguments(f"{self.name}: more than {MOST_FILES} files in one job; make several jobs of it")
                return put(value, accept)

            return hook

        return {
            name: msgspec.Raw(codec.encode(value, hook_for(self._accepts[name]))) if name in self._accepts else value
            for name, value in named.items()
        }

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """By name, in the order of the signature. What fits at first sight does without the slow way, for errors."""
        if not kwargs and len(args) in self._enough:
            return dict(zip(self._positional, args, strict=False)) if args else {}
        given = dict(zip(self._positional, args, strict=False)) if args else {}
        if len(args) == len(given) and given.keys().isdisjoint(kwargs):
            given |= kwargs
            if self._required <= given.keys() <= self._known:
                return {name: given[name] for name in self._names if name in given}
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


def _has_files(hint: Any, where: str) -> bool:
    """Whether a File is in it. Raises ConfigError for what cannot be read from JSON."""
    if hint is None:
        return False
    try:
        found = types.type_info(hint)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error
    customs = [part for part in _parts(found, set()) if isinstance(part, types.CustomType)]
    if any(part.cls is not File for part in customs):
        raise ConfigError(f"{where}: {hint!r} has no JSON form; use a dataclass, a msgspec.Struct, or plain values")
    return bool(customs)


def _kinds(found: types.Type) -> tuple[str, ...]:
    """The kinds of JSON values that a type is read from; none where that depends on more than the kind."""
    if isinstance(found, types.Metadata):
        return _kinds(found.type)
    if isinstance(found, types.UnionType):
        parts = [_kinds(part) for part in found.types]
        return tuple(dict.fromkeys(kind for part in parts for kind in part)) if all(parts) else ()
    kind = _SIMPLE.get(type(found))
    if kind is None or (isinstance(found, types.StructType) and found.array_like):
        return ()
    return (kind, "a whole number") if kind == "a number" else (kind,)


def _accept(hint: Any) -> Accept:
    """What Annotated[..., Accept(...)] says, also inside of a list or a union."""
    if get_origin(hint) is Annotated:
        for note in get_args(hint)[1:]:
            if isinstance(note, Accept):
                return note
    for inner in get_args(hint):
        if get_origin(inner) is not None and (found := _accept(inner)) != Accept():
            return found
    return Accept()


def _schema(kind: type) -> dict[str, Any]:
    if kind is not File:
        raise NotImplementedError(kind)
    return {"type": "object", "title": "File"}


def _parts(found: types.Type, seen: set[type]) -> list[types.Type]:
    """The type and what it is made of."""
    parts: list[types.Type] = [found]
    kind: type | None = getattr(found, "cls", None)
    if kind is not None and not isinstance(found, types.CustomType):
        if kind in seen:
            return []
        seen.add(kind)
    for name in ("types", "item_types"):
        for inner in getattr(found, name, ()):
            parts += _parts(inner, seen)
    for name in ("item_type", "key_type", "value_type", "type"):
        inner = getattr(found, name, None)
        if isinstance(inner, types.Type):
            parts += _parts(inner, seen)
    for field in getattr(found, "fields", ()):
        parts += _parts(field.type, seen)
    return parts
