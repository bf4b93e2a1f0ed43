"""A certificate that signs itself, for localhost and 127.0.0.1. Its key is no secret."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg6nautss9kXYbqV4C
8FiFaHYgd429qp79hpTMlhIF7euhRANCAASdLj1KkPdKV0kvvJRh4EL4kOiyzDv7
iO3r9wmOjt5qmRQe5AFTx8gZ4XkCpNElCLU5RufALAs683jC2Tycgdxm
-----END PRIVATE KEY-----
"""
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBdjCCAR2gAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJ0uPUqQ90pXSS+8
lGHgQviQ6LLMO/uI7ev3CY6O3mqZFB7kAVPHyBnheQKk0SUItTlG58AsCzrzeMLZ
PJyB3GajXjBcMA8GA1UdEwEB/wQFMAMBAf8wHQYDVR0OBBYEFPmvbv1YWwX08eVY
posytP0SHdz7MA4GA1UdDwEB/wQEAwIChDAaBgNVHREEEzARgglsb2NhbGhvc3SH
BH8AAAEwCgYIKoZIzj0EAwIDRwAwRAIgGjjgVNyh4NUHPQ2NJYFGtYrg0DsYD2Qc
l+AJfOwsoisCIH89/izmkUXeVPFbZH8z7TIxgpGmZVTx6lty9TEwsWQv
-----END CERTIFICATE-----
"""


@contextlib.contextmanager
def secured(connection: socket.socket, folder: Path) -> Iterator[ssl.SSLSocket]:
    """The server's side of a TLS connection with this certificate."""
    file = folder / "both.pem"
    file.write_text(KEY + CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with context.wrap_socket(connection, server_side=True) as channel:
        yield channel
