"""Open WebUI uploads a document as one request for each piece of it, all at the same time."""

import asyncio
import json
import resource

from tests.e2e.process import ServerProcess

NUM_PIECES = 4000
OTHER_FILES = 200


async def test_thousands_of_single_texts_at_once_are_all_answered(demo: ServerProcess) -> None:
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft_limit > OTHER_FILES
    connections = asyncio.Semaphore(min(NUM_PIECES, soft_limit - OTHER_FILES))

    async def embed(number: int) -> bytes:
        body = json.dumps({"input": [f"piece {number}"], "model": "polyvec-demo"}).encode()
        async with connections:
            return await _status(demo, b"POST /v1/embeddings", body)

    pieces = [asyncio.ensure_future(embed(number)) for number in range(NUM_PIECES)]
    # Weaviate gives up on a container that is not ready for one moment.
    probes = [await _status(demo, b"GET /.well-known/ready") for _ in range(20)]
    assert set(await asyncio.gather(*pieces)) == {b"200"}
    assert set(probes) == {b"204"}


async def _status(server: ServerProcess, call: bytes, body: bytes = b"") -> bytes:
    """Send one request on a connection of its own and read the whole answer."""
    reader, writer = await asyncio.open_connection(*server.address)
    try:
        writer.write(
            b"%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
            % (call, len(body), body)
        )
        answer = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    return answer.split(b" ", 2)[1]
