"""Types of wire bodies → JSON Schema, as OpenAPI 3.1 wants it.

pydantic does this too, but of `typing.TypedDict` only from Python 3.12 on.
"""

import inspect
import types
from collections.abc import Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

Schema = dict[str, Any]

REFERENCE: Final = "#/components/schemas/"
_PRIMITIVES: Final[Mapping[Any, str]] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}
_ARRAYS: Final = (list, tuple, Sequence)
_OBJECTS: Final = (dict, Mapping)


class SchemaBook:
    """Schemas of types, with every TypedDict described once.

    Attributes:
        schemas: Name → schema of a TypedDict; `schema_of` refers to them.
    """

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}
        self._names: dict[tuple[Any, bool], str] = {}

    def schema_of(self, wire: Any, *, nullable: bool) -> Schema:
        """Return the schema of a type.

        Args:
            wire: A TypedDict, or anything that the values of one may be.
            nullable: Whether fields that may be absent may be null as well, as in requests.

        Raises:
            TypeError: It is no type of JSON values.
        """
        if wire is Any or wire is object:
            return {}
        if isinstance(wire, type) and wire in _PRIMITIVES:
            return {"type": _PRIMITIVES[wire]}
        if is_typeddict(wire):
            return {"$ref": REFERENCE + self._described(wire, nullable=nullable)}
        origin, arguments = get_origin(wire), get_args(wire)
        kind = origin or wire
        if isinstance(kind, type) and kind in (*_ARRAYS, *_OBJECTS):
            return self._container(kind, arguments, nullable=nullable)
        return self._special(wire, origin, arguments, nullable=nullable)

    def _special(
        self, wire: Any, origin: Any, arguments: tuple[Any, ...], *, nullable: bool
    ) -> Schema:
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin in (Required, NotRequired):
            return self.schema_of(arguments[0], nullable=nullable)
        if origin is Annotated:
            limits = [extra for extra in arguments[1:] if isinstance(extra, dict)]
            return self.schema_of(arguments[0], nullable=nullable) | _merged(limits)
        if origin in (Union, types.UnionType):
            return any_of([self.schema_of(one, nullable=nullable) for one in arguments])
        raise TypeError(f"{wire!r} is no type of JSON values")

    def _container(self, origin: Any, arguments: tuple[Any, ...], *, nullable: bool) -> Schema:
        if origin in _OBJECTS:
            values = self.schema_of(arguments[1], nullable=nullable) if arguments else {}
            return {"type": "object", **({"additionalProperties": values} if values else {})}
        if origin is tuple and ... not in arguments:
            first = [self.schema_of(one, nullable=nullable) for one in arguments]
            count = len(first)
            return {"type": "array", "prefixItems": first, "minItems": count, "maxItems": count}
        items = self.schema_of(arguments[0], nullable=nullable) if arguments else {}
        return {"type": "array", **({"items": items} if items else {})}

    def _described(self, wire: Any, *, nullable: bool) -> str:
        """The name of a TypedDict's schema, made on the first call."""
        key = (wire, nullable)
        if key in self._names:
            return self._names[key]
        name = f"{_dialect_of(wire.__module__)}.{wire.__name__}"
        if name in self.schemas:
            name += "-in" if nullable else "-out"
        if name in self.schemas:
            raise TypeError(f"two types are called {name}")
        self._names[key] = name
        self.schemas[name] = {}  # a type may hold itself
        self.schemas[name] |= self._object(wire, nullable=nullable)
        return name

    def _object(self, wire: Any, *, nullable: bool) -> Schema:
        properties = {}
        for field, hint in get_type_hints(wire, include_extras=True).items():
            found = self.schema_of(hint, nullable=nullable)
            may_be_absent = field in wire.__optional_keys__
            properties[field] = or_null(found) if nullable and may_be_absent else found
        schema: Schema = {"type": "object", "properties": properties}
        if wire.__required_keys__:
            schema["required"] = [name for name in properties if name in wire.__required_keys__]
        if wire.__doc__:
            schema["description"] = inspect.cleandoc(wire.__doc__).partition("\n\n")[0]
        return schema


def _dialect_of(module: str) -> str:
    """``cohere`` of ``polyvec.dialects._cohere.wire`` and of ``polyvec.dialects.cohere``."""
    _, _, place = module.partition(".dialects.")
    return place.split(".")[0].strip("_") or module.rpartition(".")[2]


def or_null(schema: Schema) -> Schema:
    """Return a schema that takes null as well."""
    return any_of([schema, {"type": "null"}])


def any_of(schemas: Sequence[Schema]) -> Schema:
    """Return a schema that takes what any of several takes, as short as it can be written."""
    flat = [part for schema in schemas for part in _alternatives(schema)]
    if {} in flat:
        return {}
    distinct = [schema for index, schema in enumerate(flat) if schema not in flat[:index]]
    plain = [schema["type"] for schema in distinct if schema.keys() == {"type"}]
    if len(plain) > 1:
        rest = [schema for schema in distinct if schema.keys() != {"type"}]
        distinct = [*rest, {"type": plain}]
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}


def _alternatives(schema: Schema) -> list[Schema]:
    """A schema's alternatives, those of a list of types one by one."""
    if schema.keys() == {"anyOf"}:
        return [part for each in schema["anyOf"] for part in _alternatives(each)]
    if schema.keys() == {"type"} and isinstance(schema["type"], list):
        return [{"type": one} for one in schema["type"]]
    return [schema]


def schema_like(examples: Sequence[Any], *, depth: int = 3) -> Schema:
    """Return a schema that all examples fit: the keys that all have are required.

    Args:
        examples: JSON values.
        depth: Levels that are described; what lies deeper may be anything.
    """
    objects = [value for value in examples if isinstance(value, dict)]
    arrays = [value for value in examples if isinstance(value, list)]
    kinds = {_PRIMITIVES[type(value)] for value in examples if type(value) in _PRIMITIVES}
    found: list[Schema] = [{"type": kind} for kind in sorted(kinds)]
    if arrays:
        found.append({"type": "array"})
    if objects:
        names = list(dict.fromkeys(name for value in objects for name in value))
        required = [name for name in names if all(name in value for value in objects)]
        found.append(
            {
                "type": "object",
                "properties": {
                    name: schema_like(
                        [value[name] for value in objects if name in value], depth=depth - 1
                    )
                    for name in names
                },
                **({"required": required} if required else {}),
            }
        )
    return any_of(found) if depth else {}


def _merged(parts: Sequence[Mapping[str, Any]]) -> Schema:
    return {name: value for part in parts for name, value in part.items()}
