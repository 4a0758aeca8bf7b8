"""A web server on this machine from which pictures are imported."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

Answer = list[bytes | float]
"""What is sent, piece by piece; a number is a pause in seconds."""


def whole(body: bytes, status: str = "200 OK") -> Answer:
    return [f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode(), body]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    """Answers every request alike; yields the server's URL without a slash at its end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in answer:
                if isinstance(piece, bytes):
                    writer.write(piece)
                    await writer.drain()
                else:
                    await asyncio.sleep(piece)
        except ConnectionError:
            # Whoever asked has heard enough.
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"http://{host}:{port}"
    server.close()
