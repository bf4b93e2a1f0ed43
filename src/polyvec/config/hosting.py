"""What hosting platforms tell the containers that they run, as settings of ours.

Source: https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements and
https://docs.aws.amazon.com/sagemaker/latest/dg/adapt-inference-container.html.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final


def _port(raw: str) -> dict[str, Any]:
    # The platform asks from outside of the container.
    return {"server.port": raw, "server.host": "0.0.0.0"}  # noqa: S104


VARIABLES: Final[Mapping[str, Callable[[str], dict[str, Any]]]] = {
    "AIP_HTTP_PORT": _port,
    "AIP_PREDICT_ROUTE": lambda raw: {"server.predict_route": raw},
    "AIP_HEALTH_ROUTE": lambda raw: {"server.health_route": raw},
    "SAGEMAKER_BIND_TO_PORT": _port,
}
"""Variable → the settings that its text stands for."""
