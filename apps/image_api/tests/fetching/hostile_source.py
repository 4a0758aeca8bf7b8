"""A web server on this machine that misbehaves in every way that its paths name."""

import asyncio
import contextlib
import datetime
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BODY = b"picture" * 1000
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def _whole(body: bytes, *headers: str, status: str = "200 OK") -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    return answer


def _raw(sent: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)

    return answer


def _without_end(head: bytes, again: bytes, pause_seconds: float = 0) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause_seconds)

    return answer


def _redirect(location: str, status: str = "302 Found") -> Answer:
    return _whole(b"", f"Location: {location}", status=status)


_OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS: dict[str, Answer] = {
    "/picture.png": _whole(BODY),
    "/chunked": _raw(_OK + b"Transfer-Encoding: chunked\r\n\r\n7\r\npicture\r\n0\r\n\r\n"),
    "/until-closed": _raw(_OK + b"Connection: close\r\n\r\npicture"),
    "/empty": _whole(b""),
    "/missing": _whole(b"no", status="404 Not Found"),
    "/broken": _whole(b"no", status="500 Oh No"),
    "/partial": _whole(BODY, "Content-Range: bytes 0-6999/9000", status="206 Partial Content"),
    "/upgrade": _raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    "/endless-body": _without_end(_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"8000\r\n" + bytes(0x8000) + b"\r\n"),
    "/one-byte-at-a-time": _without_end(_OK + b"\r\n", b"x", 0.02),
    "/endless-headers": _without_end(_OK, b"X-More: " + b"x" * 1000 + b"\r\n"),
    "/dripping-headers": _without_end(_OK, b"x", 0.02),
    "/one-endless-header": _without_end(_OK + b"X-More: ", b"x" * 1000),
    "/endless-interim-answers": _without_end(b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.001),
    "/endless-chunk-size": _without_end(_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 1000),
    "/silent": _without_end(b"", b"", 60),
    "/silent-after-the-head": _without_end(_OK + b"Content-Length: 100\r\n\r\n", b"", 60),
    "/gzip-bomb": _whole(gzip.compress(bytes(10_000_000)), "Content-Encoding: gzip"),
    "/deflate": _whole(b"x", "Content-Encoding: identity, deflate"),
    "/gzip-transfer": _raw(_OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "/declares-too-much": _raw(_OK + b"Content-Length: 99999999999\r\n\r\n"),
    "/shorter-than-declared": _raw(_OK + b"Content-Length: 100\r\n\r\npicture"),
    "/two-lengths": _raw(_OK + b"Content-Length: 7\r\nContent-Length: 8\r\n\r\npicture"),
    "/negative-length": _raw(_OK + b"Content-Length: -1\r\n\r\npicture"),
    "/broken-chunk": _raw(_OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\npicture\r\n"),
    "/garbage": _raw(b"\x00\xff" * 100),
    "/greeting": _raw(b"220 mail.example ESMTP\r\n"),
    "/closed-at-once": _raw(b""),
    "/loop": _redirect("/loop"),
    "/to-nowhere": _whole(b"", status="302 Found"),
    "/to-picture": _redirect("/picture.png", "307 Temporary Redirect"),
    "/to-metadata": _redirect("http://169.254.169.254/computeMetadata/v1/"),
    "/to-metadata-by-name": _redirect("http://metadata.test/computeMetadata/v1/"),
    "/to-loopback": _redirect("//127.0.0.2/", "301 Moved Permanently"),
    "/to-loopback-ipv6": _redirect("http://[::1]/", "308 Permanent Redirect"),
    "/to-octal": _redirect("http://0177.0.0.1/", "303 See Other"),
    "/to-file": _redirect("file:///etc/passwd"),
    "/to-ftp": _redirect("ftp://files.test/x"),
    "/to-gopher": _redirect("gopher://127.0.0.1:6379/_INFO"),
    "/to-data": _redirect("data:image/png;base64,AAAA"),
    "/to-credentials": _redirect("http://user:password@pictures.test/"),
    "/to-broken-brackets": _redirect("http://[::1/"),
}


@dataclass
class HostileSource:
    """The running server; `requests` holds the head of each request, `names` those asked for by TLS."""

    port: int
    requests: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)


@asynccontextmanager
async def hostile_source(tls: ssl.SSLContext | None = None) -> AsyncIterator[HostileSource]:
    source = HostileSource(0)
    if tls:
        tls.sni_callback = lambda _, name, __: source.names.append(name)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            source.requests.append(head)
            await ANSWERS[head.split(" ")[1]](writer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    source.port = server.sockets[0].getsockname()[1]
    yield source
    server.close()


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's side with a certificate for `name`, and a client's side that trusts it and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / f"{name}.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=pem)
