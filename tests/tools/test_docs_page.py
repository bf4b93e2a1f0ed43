from html.parser import HTMLParser

from polyvec.tools._docs_page import docs_page
from polyvec.tools.openapi import build_document

NAMED = {"$ref": "#/components/schemas/x.Body"}
SCHEMAS = {
    "x.Body": {
        "type": "object",
        "description": "A <b>body</b>.",
        "properties": {
            "input": {
                "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]
            },
            "kind": {"enum": ["a"]},
            "inner": {"$ref": "#/components/schemas/x.Inner"},
            "any": {},
            "size": {"type": ["integer", "null"]},
        },
        "required": ["input"],
    },
    "x.Inner": {"type": "object"},
    "x.Answer": {"type": "object"},
}
DOCUMENT = {
    "info": {"title": "t & u", "version": "1", "description": "d"},
    "tags": [{"name": "x", "description": "about x"}, {"name": "empty", "description": ""}],
    "paths": {
        "/a": {
            "post": {
                "tags": ["x"],
                "requestBody": {"content": {"application/json": {"schema": NAMED}}},
            }
        },
        "/b": {"get": {"tags": ["x"]}},
    },
    "components": {"schemas": SCHEMAS},
}
VOID = {"meta"}


class Balanced(HTMLParser):
    """Checks that what is opened is closed, and collects names and links."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        assert not {"src", "onclick"} & set(found)
        assert tag != "script"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def _parsed(document):
    page = Balanced()
    page.feed(docs_page(document))
    assert not page.open
    return page


def test_bodies_of_requests_are_described_and_answers_are_not():
    page = _parsed(DOCUMENT)
    assert page.ids == ["x.Body", "x.Inner"]
    assert page.links == ["openapi.json", "#x.Body"]


def test_text_is_text():
    page = _parsed(DOCUMENT)
    assert "A <b>body</b>." in page.text
    assert {"POST", "/a", "GET", "/b", " *"} <= set(page.text)
    for kind in ("array of string or string", "'a'", "x.Inner", "anything", "integer or null"):
        assert kind in page.text


def test_an_api_without_paths_is_left_out():
    assert "empty" not in _parsed(DOCUMENT).text


def test_the_page_of_the_real_document_has_no_dead_links():
    page = _parsed(build_document())
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert not [link for link in page.links if "//" in link]
