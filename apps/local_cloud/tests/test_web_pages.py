"""What a web page gets at that is open in the same machine's browser: nothing, but what it was given."""

from collections.abc import Iterator
from datetime import timedelta

import httpx2
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[attr-defined]
from google.oauth2 import service_account

from .emulator_process import Emulators, running_emulators

PAGE = "https://photos.example"
BUCKET = "image-manager-local-originals"
ATTACKS = [
    ("GET", "/storage/v1/b"),
    ("GET", "/_local/state"),
    ("GET", "/certs"),
    ("POST", "/_local/sweep"),
    ("PUT", "/_local/subscriptions/image-uploads-push/switches"),
    ("POST", f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=evil"),
    ("DELETE", f"/storage/v1/b/{BUCKET}/o/any?upload_id=made-up"),
    ("GET", f"/download/storage/v1/b/{BUCKET}/o/any?alt=media&upload_id=made-up"),
    ("GET", "/_local/state?upload_id=made-up&X-Goog-Signature=00"),
]


@pytest.fixture(scope="module")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulators]:
    origins = f'["{PAGE}"]'
    with running_emulators(
        tmp_path_factory.mktemp("emulators"), "http://127.0.0.1:9",
        EMULATORS_DIRECT_UPLOAD_ORIGINS=origins, EMULATORS_HOSTS='["storage.internal"]',
    ) as running:  # fmt: skip
        yield running


@pytest.fixture
def client(emulators: Emulators) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=emulators.url, trust_env=False, timeout=20) as client:
        yield client


@pytest.mark.parametrize(("method", "path"), ATTACKS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},
        {"Host": "attacker.example:9023", "Sec-Fetch-Site": "same-origin"},
        {"Host": "127.0.0.1.attacker.example"},
        {"Host": "[::2]"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
        {"Origin": PAGE},
        {"Origin": "null"},
    ],
)
def test_pages_of_other_sites_are_refused(
    client: httpx2.Client, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = client.request(method, path, headers={"Content-Type": "text/plain", **headers})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:80", "storage.internal:9023"])
def test_own_names_are_answered(client: httpx2.Client, host: str) -> None:
    assert client.get("/storage/v1/b", headers={"Host": host}).status_code == 200
    own_page = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert client.get("/health/ready", headers=own_page).status_code == 200


def open_session(client: httpx2.Client, **headers: str) -> str:
    path = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=from-a-page"
    answer = client.post(path, json={}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert "access-control-allow-origin" not in answer.headers
    return str(answer.headers["location"])


def signed_url(emulators: Emulators, name: str, method: str, headers: dict[str, str] | None = None) -> str:
    file = emulators.data_dir / "service-account.json"
    signer = service_account.Credentials.from_service_account_file(str(file))  # type: ignore[no-untyped-call]
    options = {"api_endpoint": emulators.url}
    client = storage.Client("p", AnonymousCredentials(), client_options=options)  # type: ignore[no-untyped-call]
    url: str = client.bucket(BUCKET).blob(name).generate_signed_url(
        version="v4", method=method, credentials=signer, api_access_endpoint=emulators.url,
        expiration=timedelta(minutes=5), headers=headers,
    )  # fmt: skip
    return url


def from_page(origin: str = PAGE, **headers: str) -> dict[str, str]:
    return {"Origin": origin, "Sec-Fetch-Site": "cross-site", **headers}


def test_page_uploads_to_the_session_that_was_opened_for_it(client: httpx2.Client) -> None:
    session = open_session(client, Origin=PAGE)
    asked = from_page(
        **{"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type",
           "Access-Control-Request-Private-Network": "true"}
    )  # fmt: skip
    allowed = client.options(session, headers=asked).headers
    assert allowed["access-control-allow-origin"] == PAGE
    assert "PUT" in allowed["access-control-allow-methods"]
    assert allowed["access-control-allow-headers"] == "content-type"
    assert allowed["access-control-allow-private-network"] == "true"
    refused = client.put(session, content=b"picture", headers=from_page("https://other.example"))
    assert (refused.status_code, "access-control-allow-origin" in refused.headers) == (403, False)
    assert client.put(session, content=b"picture", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    done = client.put(session, content=b"picture", headers=from_page())
    assert (done.status_code, done.headers["access-control-allow-origin"]) == (200, PAGE)


def test_session_that_was_opened_for_no_page_takes_none(client: httpx2.Client) -> None:
    session = open_session(client)
    assert "access-control-allow-origin" not in client.options(session, headers=from_page()).headers
    assert client.put(session, content=b"picture", headers=from_page()).status_code == 403
    assert client.put(session, content=b"picture").status_code == 200


def test_origins_of_the_bucket_get_no_session_of_another(emulators: Emulators, client: httpx2.Client) -> None:
    # Signed URLs start sessions of the XML API, which lie below the bucket's own path.
    started_by = {"X-Goog-Resumable": "start"}
    url = signed_url(emulators, "of-another", "POST", started_by)
    started = client.post(url, headers={**started_by, "Origin": "https://other.example"})
    assert started.status_code == 201, started.text
    asked = from_page(**{"Access-Control-Request-Method": "PUT"})
    assert "access-control-allow-origin" not in client.options(started.headers["location"], headers=asked).headers


def test_page_reads_how_much_has_arrived(client: httpx2.Client) -> None:
    session = open_session(client, Origin=PAGE)
    part = {**from_page(), "Content-Range": "bytes 0-262143/300000"}
    answer = client.put(session, content=bytes(262_144), headers=part)
    assert (answer.status_code, answer.headers["range"]) == (308, "bytes=0-262143")
    assert "Range" in answer.headers["access-control-expose-headers"].split(", ")


def test_page_cannot_open_a_session_by_itself(client: httpx2.Client) -> None:
    path = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=x"
    assert client.post(path, content=b"{}", headers=from_page(**{"Content-Type": "text/plain"})).status_code == 403


@pytest.mark.parametrize(("origin", "may_read"), [(PAGE, True), ("https://other.example", False)])
def test_signed_url_is_its_own_permission(
    emulators: Emulators, client: httpx2.Client, origin: str, may_read: bool
) -> None:
    url = signed_url(emulators, f"signed-{may_read}", "PUT")
    asked = client.options(url, headers=from_page(origin, **{"Access-Control-Request-Method": "PUT"}))
    assert ("access-control-allow-origin" in asked.headers) is may_read
    stored = client.put(url, content=b"picture", headers=from_page(origin))
    assert (stored.status_code, "access-control-allow-origin" in stored.headers) == (200, may_read)
    # As an <img> of a page asks for it.
    picture = signed_url(emulators, f"signed-{may_read}", "GET")
    shown = client.get(picture, headers={"Sec-Fetch-Site": "cross-site"})
    assert shown.content == b"picture"
