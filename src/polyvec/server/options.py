"""Settings of the HTTP side."""

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the server listens, whom it lets in and when it gives up on a connection.

    Attributes:
        host: Address to bind.
        port: Port to bind; 0 for a free one.
        api_keys: Any of them opens every route; empty for an open server.
        public_models: Whether the model list may be read without a key.
        allowed_hosts: Names that the Host header may have; empty for any.
        admin_port: Port on the loopback interface for changes to what is served; None for none.
        root_path: Prefix that a proxy puts before every path.
        predict_route: One more path that is answered as ``/invocations`` is, and as ``/vertex``
            where the body has ``instances``; empty for none.
        health_route: One more path that is answered as ``/ready`` is, without a key; empty for
            none.
        limit_body_bytes: Largest request body, also after decompression.
        limit_header_bytes: Largest request line and headers together.
        header_timeout_s: Time from a first byte to complete headers.
        body_timeout_s: Longest pause inside a body.
        keep_alive_s: How long an idle connection stays open.
        drain_timeout_s: How long requests in flight may run on after a stop signal.
        access_log: Whether each request gets a log line.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_keys: tuple[str, ...] = ()
    public_models: bool = False
    allowed_hosts: tuple[str, ...] = ()
    admin_port: int | None = None
    root_path: str = ""
    predict_route: str = ""
    health_route: str = ""
    limit_body_bytes: int = 64 * MIB
    limit_header_bytes: int = 32 * 1024
    header_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    keep_alive_s: float = 75.0
    drain_timeout_s: float = 30.0
    access_log: bool = True
