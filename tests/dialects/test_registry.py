from pathlib import Path

import orjson
import pytest

import polyvec.dialects
from polyvec.dialects._base import Call, Dialect, Reply, Route
from polyvec.dialects._registry import RouteTable, find_dialects
from polyvec.errors import ConfigError
from tests.dialects.stub import TABLE

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*/*.json"))


async def _endpoint(_call, _service):
    return Reply(200, b"")


def _dialect(name, *routes):
    return Dialect(
        name,
        tuple(Route(method, path, _endpoint, owns) for method, path, owns in routes),
        lambda _error, _call: Reply(400, b""),
        "https://example.com",
    )


def _resolve(table, method, path, body=b"{}"):
    call = Call(method, path, body=body)
    found = table.resolve(call)
    return None if found is None else (found[0].name, found[1].path, dict(call.path_params))


def test_every_public_module_of_the_package_is_a_dialect():
    folder = Path(polyvec.dialects.__file__).parent
    modules = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    assert {dialect.name for dialect in find_dialects()} == modules
    assert {"openai", "mmes"} <= modules


def test_every_dialect_says_where_it_is_described():
    assert all(dialect.source.startswith("https://") for dialect in find_dialects())


def test_every_shared_path_has_one_owner_of_the_rest():
    for owners in TABLE.owners.values():
        assert [owner.route.owns is None for owner in owners].count(True) <= 1
        assert len(owners) == 1 or owners[-1].route.owns is None


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_documented_request_is_recognised_by_its_own_dialect_only(path):
    request = orjson.loads(path.read_bytes())["request"]
    key = (request["method"], request["path"])
    call = Call(*key, body=orjson.dumps(request.get("body")))
    found = TABLE.resolve(call)
    assert found is not None
    assert found[0].name == path.parent.name
    claims = [
        owner.dialect.name
        for owner in TABLE.owners.get(key, ())
        if owner.route.owns is not None and owner.route.owns(request.get("body"))
    ]
    assert len(claims) <= 1


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"input": {"type": "text"}}', "mmes"),
        (b'{"input": {"type": null}}', "mmes"),
        (b'{"input": {"text": "a"}}', "mmes"),
        (b'{"input": null}', "mmes"),
        (b'{"model": "m"}', "mmes"),
        (b'{"input": ["a"]}', "openai"),
        (b'{"input": "a", "type": "text"}', "openai"),
        (b'{"input": [{"type": "text"}]}', "openai"),
        (b"[]", "mmes"),
        (b"not json", "mmes"),
        (b"", "mmes"),
    ],
)
def test_the_body_decides_on_the_shared_embeddings_path(body, name):
    assert _resolve(TABLE, "POST", "/embeddings", body) == (name, "/embeddings", {})


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/embeddings/", "/v1/embeddings//"])
def test_trailing_slashes_do_not_matter(path):
    assert _resolve(TABLE, "POST", path) == ("openai", "/v1/embeddings", {})


@pytest.mark.parametrize("model", ["m", "org/model", "a/b/c", "with space", "new\nline"])
def test_a_segment_takes_ids_with_slashes(model):
    found = _resolve(TABLE, "GET", f"/v1/models/{model}")
    assert found == ("openai", "/v1/models/{model}", {"model": model})


def test_the_path_with_more_literal_text_wins():
    one = _dialect(
        "one", ("GET", "/v2/models/{model}", None), ("GET", "/v2/models/{model}/ready", None)
    )
    table = RouteTable([one])
    found = _resolve(table, "GET", "/v2/models/org/m/ready")
    assert found == ("one", "/v2/models/{model}/ready", {"model": "org/m"})


def test_the_root_can_be_a_route():
    table = RouteTable([_dialect("one", ("POST", "/", None))])
    assert _resolve(table, "POST", "/") == ("one", "/", {})


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/nope"), ("GET", "/v1/embeddings"), ("GET", "/V1/models"), ("GET", "/v1/modelsx")],
)
def test_an_unknown_path_or_method_has_no_owner(method, path):
    assert _resolve(TABLE, method, path) is None


def test_an_endless_path_has_no_owner():
    assert _resolve(TABLE, "GET", "/v1/models/" + "a/" * 100_000) is None


def test_allowed_methods_join_all_dialects():
    table = RouteTable(
        [_dialect("one", ("GET", "/x", None)), _dialect("two", ("POST", "/x/", None))]
    )
    assert table.allowed_methods("/x/") == ("GET", "POST")
    assert table.allowed_methods("/y") == ()


def test_two_dialects_that_claim_all_bodies_of_a_path_are_refused():
    with pytest.raises(ConfigError, match="one, two share POST /x"):
        RouteTable([_dialect("two", ("POST", "/x", None)), _dialect("one", ("POST", "/x/", None))])


def test_a_shared_path_where_nobody_owns_the_rest_is_refused():
    with pytest.raises(ConfigError, match="one, two share POST /x"):
        RouteTable(
            [_dialect("one", ("POST", "/x", bool)), _dialect("two", ("POST", "/x", callable))]
        )


def test_one_path_under_two_segment_names_is_refused():
    with pytest.raises(ConfigError, match="one, two claim one path"):
        RouteTable(
            [_dialect("one", ("GET", "/m/{a}", None)), _dialect("two", ("GET", "/m/{b}", None))]
        )


def test_a_single_owner_answers_all_bodies_even_with_a_recogniser():
    mmes = next(dialect for dialect in find_dialects() if dialect.name == "mmes")
    assert _resolve(RouteTable([mmes]), "POST", "/embeddings", b"oops") == (
        "mmes",
        "/embeddings",
        {},
    )
