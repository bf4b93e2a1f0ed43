"""Finds the dialects in this package and says which of them answers a call.

Every module here without a leading underscore declares one ``DIALECT``.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from polyvec import dialects as _package
from polyvec.dialects._base import Call, Dialect, Route
from polyvec.errors import ConfigError, InvalidInputError

_PARAM: Final = re.compile(r"\{([a-z_]+)\}")
# Matching two open-ended segments takes quadratic time; no model id is near this long.
_MAX_PATTERN_PATH_CHARS: Final = 2048


def find_dialects() -> tuple[Dialect, ...]:
    """Import every dialect of this package, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(_package.__path__))
    public = [name for name in names if not name.startswith("_")]
    return tuple(importlib.import_module(f"{_package.__name__}.{name}").DIALECT for name in public)


@dataclass(frozen=True, slots=True)
class Owner:
    """A route and the dialect it belongs to."""

    dialect: Dialect
    route: Route


# Method → who answers it at one path.
_Owners = dict[str, tuple[Owner, ...]]


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A path with ``{name}`` segments, and the methods answered there."""

    regex: re.Pattern[str]
    num_literals: int
    owners: _Owners


class RouteTable:
    """One table of owners: (method, path) → the dialects that answer there.

    Raises:
        ConfigError: Two dialects claim one path and nothing tells their bodies apart.
    """

    def __init__(self, dialects: Iterable[Dialect]) -> None:
        grouped: dict[str, dict[str, list[Owner]]] = {}
        for dialect in dialects:
            for route in dialect.routes:
                methods = grouped.setdefault(_normal(route.path), {})
                methods.setdefault(route.method, []).append(Owner(dialect, route))
        self._literal: dict[str, _Owners] = {}
        patterns = []
        for path, methods in grouped.items():
            owners = {method: _in_order(path, claims) for method, claims in methods.items()}
            if _PARAM.search(path):
                patterns.append(_compile(path, owners))
            else:
                self._literal[path] = owners
        self._patterns = sorted(patterns, key=lambda pattern: -pattern.num_literals)
        _refuse_equal_patterns(self._patterns)

    @property
    def owners(self) -> dict[tuple[str, str], tuple[Owner, ...]]:
        """Every (method, path) as declared, with its owners in the order they are asked."""
        tables = [*self._literal.values(), *(pattern.owners for pattern in self._patterns)]
        return {
            (method, _normal(claims[0].route.path)): claims
            for table in tables
            for method, claims in table.items()
        }

    def resolve(self, call: Call) -> tuple[Dialect, Route] | None:
        """Return who answers a call, or None for an unknown path or method.

        On a shared path the body decides; a body that is not JSON goes to the owner of all that
        nobody recognises. Trailing slashes do not matter. Sets ``call.path_params``.
        """
        for owners, params in self._matches(call.path):
            if call.method in owners:
                call.path_params = params
                owner = _choose(owners[call.method], call)
                return owner.dialect, owner.route
        return None

    def is_shared(self, call: Call) -> bool:
        """Whether several dialects answer calls of this method and path."""
        return any(len(owners.get(call.method, ())) > 1 for owners, _ in self._matches(call.path))

    def allowed_methods(self, path: str) -> tuple[str, ...]:
        """Return the methods answered at a path, sorted; empty when the path is unknown."""
        return tuple(sorted({method for owners, _ in self._matches(path) for method in owners}))

    def _matches(self, path: str) -> Iterator[tuple[_Owners, dict[str, str]]]:
        path = _normal(path)
        literal = self._literal.get(path)
        if literal is not None:
            yield literal, {}
        if len(path) > _MAX_PATTERN_PATH_CHARS:
            return
        for pattern in self._patterns:
            match = pattern.regex.fullmatch(path)
            if match is not None:
                yield pattern.owners, match.groupdict()


def _normal(path: str) -> str:
    return path.rstrip("/") or "/"


def _compile(path: str, owners: _Owners) -> _Pattern:
    """Make ``/v1/models/{model}`` match ids with slashes too."""
    pieces = _PARAM.split(path)
    literals, names = pieces[::2], pieces[1::2]
    regex = re.escape(literals[0])
    for name, literal in zip(names, literals[1:], strict=True):
        regex += f"(?P<{name}>.+)" + re.escape(literal)
    return _Pattern(re.compile(regex, re.DOTALL), sum(map(len, literals)), owners)


def _in_order(path: str, claims: list[Owner]) -> tuple[Owner, ...]:
    """Put the owners that recognise bodies first and the owner of the rest last."""
    rest = [claim for claim in claims if claim.route.owns is None]
    recognisers = [claim for claim in claims if claim.route.owns is not None]
    if len(claims) > 1 and len(rest) != 1:
        names = ", ".join(sorted(claim.dialect.name for claim in (rest or claims)))
        problem = "claim all bodies" if rest else "recognise some bodies and nobody owns the rest"
        raise ConfigError(
            f"dialects {names} share {claims[0].route.method} {path} but {problem}; "
            "exactly one of the routes must have no recogniser"
        )
    return (*recognisers, *rest)


def _refuse_equal_patterns(patterns: list[_Pattern]) -> None:
    """Refuse paths that differ only in what they call their segments."""
    seen: dict[str, _Pattern] = {}
    for pattern in patterns:
        shape = re.sub(r"\?P<[a-z_]+>", "", pattern.regex.pattern)
        other = seen.setdefault(shape, pattern)
        if other is not pattern and other.owners.keys() & pattern.owners.keys():
            claims = [next(iter(table.owners.values()))[0] for table in (other, pattern)]
            names = ", ".join(sorted(claim.dialect.name for claim in claims))
            paths = " and ".join(claim.route.path for claim in claims)
            raise ConfigError(f"dialects {names} claim one path as {paths}")


def _choose(owners: tuple[Owner, ...], call: Call) -> Owner:
    if len(owners) == 1:
        return owners[0]
    body = _body_or_none(call)
    for owner in owners[:-1]:
        if owner.route.owns is not None and owner.route.owns(body):
            return owner
    return owners[-1]


def _body_or_none(call: Call) -> Any:
    """The endpoint will decode again and report what is wrong with the body."""
    try:
        return call.json()
    except InvalidInputError:
        return None
