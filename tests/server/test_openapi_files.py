import orjson

from tests.server.driver import ask, make_app


async def test_the_document_is_served():
    answer = await ask(make_app(), "GET", "/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert orjson.loads(answer.body)["openapi"].startswith("3.1")


async def test_the_page_is_served():
    answer = await ask(make_app(), "GET", "/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert b"/v1/embeddings" in answer.body
    assert b"//" not in answer.body.split(b"<body>")[0]


async def test_both_need_a_key_where_there_is_one():
    app = make_app(api_keys=("k",))
    assert (await ask(app, "GET", "/openapi.json")).status == 401
    assert (await ask(app, "GET", "/docs")).status == 401
