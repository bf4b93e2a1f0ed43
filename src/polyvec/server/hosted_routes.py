"""Paths that a hosting platform chooses, answered as the usual ones are.

Source: https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements: the
platform sends ``{"instances": […]}``, or any body at all as a raw prediction, to a path of its own,
and probes another one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from polyvec.dialects._base import Dialect, Route

_PREDICTIONS: Final = ("POST", "/invocations")
_INSTANCES: Final = ("POST", "/vertex")
_PROBE: Final = ("GET", "/ready")

_Place = tuple[str, str]


def with_hosted_routes(
    dialects: Sequence[Dialect], *, predict_route: str, health_route: str
) -> tuple[Dialect, ...]:
    """Add routes at the platform's paths to the dialects whose routes answer there.

    Args:
        dialects: All that are served.
        predict_route: Where bodies are answered as those of ``/invocations``, and bodies with
            ``instances`` as those of ``/vertex``; a path of ours keeps its other bodies. Empty for
            none.
        health_route: Where GET is answered as ``/ready``, unless the path is ours. Empty for none.
    """
    taken = {_place(route) for dialect in dialects for route in dialect.routes}
    copies: dict[_Place, Callable[[Route], Route]] = {}
    if predict_route:
        if ("POST", predict_route) not in taken:
            copies[_PREDICTIONS] = lambda route: replace(route, path=predict_route)
        if predict_route != _INSTANCES[1]:
            copies[_INSTANCES] = lambda route: replace(
                route, path=predict_route, owns=_has_instances
            )
    if health_route and ("GET", health_route) not in taken:
        copies[_PROBE] = lambda route: replace(route, path=health_route)
    return tuple(_with_copies(dialect, copies) for dialect in dialects)


def _with_copies(dialect: Dialect, copies: dict[_Place, Callable[[Route], Route]]) -> Dialect:
    # What recognises ``instances`` is asked first: other dialects know their bodies by one field.
    added = [
        copies[place](route)
        for place in (_INSTANCES, _PREDICTIONS, _PROBE)
        for route in dialect.routes
        if place in copies and _place(route) == place
    ]
    return replace(dialect, routes=(*added, *dialect.routes)) if added else dialect


def _place(route: Route) -> _Place:
    return route.method, route.path


def _has_instances(body: Any) -> bool:
    return isinstance(body, dict) and isinstance(body.get("instances"), list)
