"""Variables of hosting platforms."""

from typing import Any

import pytest

from polyvec.config import hosting
from polyvec.config.compose import compose
from polyvec.config.load import Config, load_config
from polyvec.errors import ConfigError
from polyvec.server.options import ServerOptions

VERTEX = {
    "AIP_HTTP_PORT": "8080",
    "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict",
    "AIP_HEALTH_ROUTE": "/v1/endpoints/1/deployedModels/2",
}


def loaded(environ: dict[str, str], **arguments: Any) -> Config:
    return load_config(environ=environ, **arguments)


def server(environ: dict[str, str], **arguments: Any) -> ServerOptions:
    return compose(loaded(environ, **arguments)).server


def test_vertex_says_where_to_listen_and_what_to_answer() -> None:
    options = server(VERTEX)
    assert (options.host, options.port) == ("0.0.0.0", 8080)
    assert options.predict_route == VERTEX["AIP_PREDICT_ROUTE"]
    assert options.health_route == VERTEX["AIP_HEALTH_ROUTE"]


def test_sagemaker_says_where_to_listen() -> None:
    options = server({"SAGEMAKER_BIND_TO_PORT": "9090"})
    assert (options.host, options.port) == ("0.0.0.0", 9090)
    assert options.predict_route == options.health_route == ""


def test_without_them_nothing_changes() -> None:
    assert server(dict.fromkeys(hosting.VARIABLES, "")) == server({})


def test_our_own_variables_and_flags_win() -> None:
    own = {"POLYVEC_PORT": "2", "POLYVEC_HOST": "127.0.0.1"}
    assert (server({**VERTEX, **own}).host, server({**VERTEX, **own}).port) == ("127.0.0.1", 2)
    assert server(VERTEX, flags={"server.port": "3"}).port == 3


def test_the_origin_is_the_variable() -> None:
    assert loaded(VERTEX).values["server.predict_route"].origin == "AIP_PREDICT_ROUTE"


@pytest.mark.parametrize("environ", [{"AIP_HTTP_PORT": "http"}, {"AIP_PREDICT_ROUTE": "predict"}])
def test_a_value_that_cannot_be_used_is_named(environ: dict[str, str]) -> None:
    (variable,) = environ
    with pytest.raises(ConfigError, match=variable):
        loaded(environ)
