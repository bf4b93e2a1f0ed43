"""One page without scripts that lists what a server answers."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from polyvec.tools._json_schema import REFERENCE

_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{font-family:ui-monospace,monospace}b{display:inline-block;width:4.5rem}"
    "h3,h3+p{margin:1rem 0 0}table{border-collapse:collapse;margin:.3rem 0 1rem}"
    "td{padding:.1rem .8rem .1rem 0;vertical-align:top}small{color:#666}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8bf}}"
)


def docs_page(document: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI document: its paths by API, then the fields of their bodies."""
    info, schemas = document["info"], document["components"]["schemas"]
    sections = "".join(_section(tag, document) for tag in document["tags"])
    bodies = "".join(_fields(name, schemas[name]) for name in _in_requests(document))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>"
        f"<p>{escape(info['description'])} The whole description: "
        '<a href="openapi.json">openapi.json</a>.</p>'
        f"{sections}<h2>Bodies</h2><p><small>* must be there</small></p>{bodies}</body></html>\n"
    )


def _section(tag: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    rows = "".join(
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if tag["name"] in operation["tags"]
    )
    about = escape(tag["description"])
    return f"<h2>{escape(tag['name'])}</h2><p><small>{about}</small></p>{rows}" if rows else ""


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    links = "".join(
        f' <a href="#{escape(name)}">{escape(name)}</a>'
        for name in dict.fromkeys(_named_in(operation.get("requestBody", {})))
    )
    return f"<div><b>{escape(method.upper())}</b><code>{escape(path)}</code>{links}</div>"


def _in_requests(document: Mapping[str, Any]) -> list[str]:
    """Names of all schemas that requests are made of, sorted."""
    schemas = document["components"]["schemas"]
    waiting = [
        name
        for methods in document["paths"].values()
        for operation in methods.values()
        for name in _named_in(operation.get("requestBody", {}))
    ]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _named_in(schemas[name])
    return sorted(found)


def _named_in(value: Any) -> Iterator[str]:
    """Names of the schemas that a part of the document refers to."""
    if isinstance(value, list):
        for each in value:
            yield from _named_in(each)
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].removeprefix(REFERENCE)
        for each in value.values():
            yield from _named_in(each)


def _fields(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code>{' *' if field in required else ''}</td>"
        f"<td>{escape(_kind(value))}</td></tr>"
        for field, value in schema.get("properties", {}).items()
    )
    about = escape(schema.get("description", ""))
    return f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{about}</p><table>{rows}</table>'


def _kind(schema: Mapping[str, Any]) -> str:
    """What a value is, in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(map(repr, schema["enum"]))
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"array of {_kind(schema['items'])}" if "items" in schema else "array"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)
