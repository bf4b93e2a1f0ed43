from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, Required, TypedDict

import pytest

from polyvec.tools._json_schema import SchemaBook, any_of, or_null, schema_like


class Inner(TypedDict):
    """An inner one."""

    name: str


class Outer(TypedDict):
    """An outer one.

    More of it.
    """

    inner: Inner
    rest: NotRequired[int]


class Inherited(Outer, total=False):
    more: list[float]
    must: Required[bool]


class Recursive(TypedDict):
    inside: NotRequired["Recursive"]


def _schema(wire, *, nullable=False):
    return SchemaBook().schema_of(wire, nullable=nullable)


@pytest.mark.parametrize(
    ("wire", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (str | None, {"type": ["string", "null"]}),
        (str | list[str], {"anyOf": [{"type": "string"}, _schema(list[str])]}),
        (str | Any, {}),
        (str | (int | str), {"type": ["string", "integer"]}),
        (list, {"type": "array"}),
        (list[Any], {"type": "array"}),
        (Sequence[int], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (dict, {"type": "object"}),
        (dict[str, Any], {"type": "object"}),
        (Mapping[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Annotated[int, {"minimum": 1}, "a note"], {"type": "integer", "minimum": 1}),
    ],
)  # fmt: skip
def test_a_type_has_a_schema(wire, schema):
    found = _schema(type(None) if wire is None else wire)
    if "anyOf" in schema:
        assert sorted(map(str, found["anyOf"])) == sorted(map(str, schema["anyOf"]))
    else:
        assert found == schema


def test_a_tuple_of_a_length_keeps_it():
    assert _schema(tuple[int, str]) == {
        "type": "array",
        "prefixItems": [{"type": "integer"}, {"type": "string"}],
        "minItems": 2,
        "maxItems": 2,
    }


def test_a_typed_dict_is_described_once_by_its_first_sentences():
    book = SchemaBook()
    schema = book.schema_of(list[Outer] | Outer, nullable=False)
    assert len(schema["anyOf"]) == 2
    assert set(book.schemas) == {"test_json_schema.Outer", "test_json_schema.Inner"}
    outer = book.schemas["test_json_schema.Outer"]
    assert outer["description"] == "An outer one."
    assert outer["required"] == ["inner"]
    assert outer["properties"]["rest"] == {"type": "integer"}


def test_what_may_be_absent_from_a_request_may_be_null():
    book = SchemaBook()
    book.schema_of(Outer, nullable=True)
    properties = book.schemas["test_json_schema.Outer"]["properties"]
    assert properties["rest"] == {"type": ["integer", "null"]}
    assert properties["inner"] == {"$ref": "#/components/schemas/test_json_schema.Inner"}


def test_a_type_of_requests_and_answers_has_two_schemas():
    book = SchemaBook()
    for nullable in (True, False, True):
        book.schema_of(Outer, nullable=nullable)
    assert {"test_json_schema.Outer", "test_json_schema.Outer-out"} <= set(book.schemas)


def test_inherited_fields_are_there():
    book = SchemaBook()
    book.schema_of(Inherited, nullable=False)
    schema = book.schemas["test_json_schema.Inherited"]
    assert set(schema["properties"]) == {"inner", "rest", "more", "must"}
    assert set(schema["required"]) == {"inner", "must"}


def test_a_type_may_hold_itself():
    book = SchemaBook()
    reference = book.schema_of(Recursive, nullable=False)
    assert book.schemas["test_json_schema.Recursive"]["properties"]["inside"] == reference


@pytest.mark.parametrize("wire", [bytes, set[int], object()])
def test_what_json_has_not_is_refused(wire):
    with pytest.raises(TypeError):
        _schema(wire)


def test_alternatives_are_written_once():
    text, number = {"type": "string"}, {"type": "number"}
    assert any_of([text, text]) == text
    assert any_of([{"anyOf": [{"enum": [1]}, text]}, {"enum": [1]}]) == {
        "anyOf": [{"enum": [1]}, text]
    }
    assert or_null(any_of([text, number])) == {"type": ["string", "number", "null"]}


def test_examples_make_a_schema():
    examples = [{"a": 1, "b": [1]}, {"a": None, "b": ["x"], "c": {"d": {"e": {"f": 1}}}}]
    assert schema_like(examples) == {
        "type": "object",
        "properties": {
            "a": {"type": ["integer", "null"]},
            "b": {"type": "array"},
            "c": {
                "type": "object",
                "properties": {"d": {"type": "object", "properties": {"e": {}}, "required": ["e"]}},
                "required": ["d"],
            },
        },
        "required": ["a", "b"],
    }
