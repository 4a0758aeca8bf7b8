"""Names of files and tags on every way in, and on the way out."""

import unicodedata
from typing import Any
from urllib.parse import quote

import pytest

from image_core.testing import UserWithKey

from ..conftest import Api
from ..picture_server import serving
from ..pictures import picture
from ..uploading import IMAGES, PNG, post

PERSIAN = "می\u200cخواهم.png"
DECOMPOSED = unicodedata.normalize("NFD", "Zürich-blå.png")
SPACES = "10.30\u202fUhr\u00a0.png"
TURNED, STRAIGHT = "../gpj.\u202efdp.png", "gpj.fdp.png"


def form_of(*parts: tuple[str, bytes]) -> bytes:
    """A form as it goes over the wire, its headers written by hand."""
    return b"".join(b"--b\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (head.encode("latin-1"), body)
                    for head, body in parts) + b"--b--\r\n"  # fmt: skip


async def send_form(api: Api, by: UserWithKey, *parts: tuple[str, bytes], expected: int = 201) -> dict[str, Any]:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    return await post(api, by, form_of(*parts), expected, headers=headers)


def raw(text: str) -> str:
    """A header's UTF-8 as the letters of Latin-1."""
    return text.encode().decode("latin-1")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('filename="Übersicht-Ålesund.png"', "Übersicht-Ålesund.png"),
        (f'filename="{raw(PERSIAN)}"', PERSIAN),
        (f'filename="{raw(DECOMPOSED)}"', DECOMPOSED),
        (f'filename="{raw(SPACES)}"', SPACES),
        (f"filename*=UTF-8''{quote(PERSIAN)}", PERSIAN),
        (f"filename=\"a.png\"; filename*=UTF-8''{quote(PERSIAN)}", PERSIAN),
        (f'filename="{raw(TURNED)}"', STRAIGHT),
        (f'filename="{"x" * 6000}.png"', "x" * 251 + ".png"),
    ],
)
async def test_a_name_is_read_alike_in_a_form_and_in_a_header(
    api: Api, member: UserWithKey, header: str, name: str
) -> None:
    told = await send_form(api, member, (f'name="file"; {header}', picture(1)))
    assert told["filename"] == name
    disposition = f"attachment; {header}".encode("latin-1")
    answer = await api.client.post(
        IMAGES,
        content=picture(2),
        headers=[*member.headers.items(), *PNG.items(), (b"Content-Disposition", disposition)],
    )
    assert answer.json()["filename"] == name


@pytest.mark.parametrize(("sent", "name"), [(PERSIAN, PERSIAN), (TURNED, STRAIGHT), ("x" * 300 + ".png", None)])
async def test_one_rule_holds_on_every_way_in(api: Api, member: UserWithKey, sent: str, name: str | None) -> None:
    name = name or "x" * 251 + ".png"
    told = [
        await post(api, member, picture(1), params={"filename": sent}),
        await send_form(api, member, ('name="filename"', sent.encode()), ('name="file"', picture(2))),
        await imported(api, member, picture(3), filename=sent),
        await imported(api, member, picture(4), path="/" + quote(sent, safe="")),
        await imported(api, member, picture(5), f"attachment; filename*=UTF-8''{quote(sent, safe='')}"),
    ]
    changed = await api.client.patch(f"{IMAGES}/{told[0]['id']}", headers=member.headers, json={"filename": sent})
    assert [each["filename"] for each in (*told, changed.json())] == [name] * 6


async def imported(
    api: Api, by: UserWithKey, body: bytes, disposition: str = "inline", path: str = "/url.png", **fields: Any
) -> dict[str, Any]:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nContent-Disposition: {disposition}\r\n\r\n"
    async with serving([head.encode("latin-1"), body]) as url:
        answer = await api.client.post(f"{IMAGES}/import", json={"url": url + path, **fields}, headers=by.headers)
    told: dict[str, Any] = answer.json()
    assert answer.status_code in (200, 201), told
    return told


@pytest.mark.parametrize(
    ("fields", "disposition", "path", "name"),
    [
        ({"filename": "mine.png"}, 'attachment; filename="theirs.png"', "/url.png", "mine.png"),
        ({}, 'attachment; filename="Ålesund.png"', "/url.png", "Ålesund.png"),
        ({}, "attachment", "/x/%C5lesund.png?size=1", "Ålesund.png"),
        ({"filename": "\n"}, "attachment", "/url.png", "url.png"),
        ({}, "attachment", "/", None),
    ],
)
async def test_an_import_is_named_by_its_caller_then_by_its_source(
    api: Api, member: UserWithKey, fields: dict[str, str], disposition: str, path: str, name: str | None
) -> None:
    assert (await imported(api, member, picture(), disposition, path, **fields))["filename"] == name


async def test_a_name_that_was_stored_by_older_rules_is_cleaned_on_its_way_out(api: Api, member: UserWithKey) -> None:
    image_id = (await api.upload(member))["id"]
    await api.set_row(image_id, filename=TURNED)
    answer = await api.client.get(f"{IMAGES}/{image_id}/content", headers=member.headers)
    assert answer.headers["content-disposition"].endswith(f"filename*=UTF-8''{STRAIGHT}")


@pytest.mark.parametrize("stored", ["Zürich.png", unicodedata.normalize("NFD", "Zürich.png")])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
async def test_a_part_of_a_name_is_found_in_either_form_of_unicode(
    api: Api, member: UserWithKey, stored: str, form: Any
) -> None:
    await api.upload(member, picture(), filename=stored)
    params = {"q": unicodedata.normalize(form, "ZÜR")}
    (found,) = (await api.client.get(IMAGES, headers=member.headers, params=params)).json()["items"]
    assert found["filename"] == stored


@pytest.mark.parametrize("form", ["NFC", "NFD"])
async def test_a_tag_is_one_tag_in_either_form_of_unicode(api: Api, member: UserWithKey, form: Any) -> None:
    composed, typed = "blå", unicodedata.normalize(form, "blå")
    told = await api.upload(member, picture(), tags=f"{composed},{typed},x", filename="a.png")
    assert told["tags"] == [composed, "x"]
    # As older versions stored it.
    await api.set_row((await api.upload(member, picture(2)))["id"], tags=[unicodedata.normalize("NFD", composed), "x"])
    for tags, count in (([typed], 2), ([typed, "x"], 2), (["bla"], 0)):
        answer = await api.client.get(IMAGES, headers=member.headers, params={"tag": tags})
        assert len(answer.json()["items"]) == count


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(("operator", "value"), [("eq", "Zürich"), ("in", "Oslo,Zürich"), ("prefix", "Zü")])
async def test_metadata_are_found_in_either_form_of_unicode(
    api: Api, member: UserWithKey, form: Any, operator: str, value: str
) -> None:
    for seed, stored in enumerate(("Zürich", unicodedata.normalize("NFD", "Zürich"), "Bern")):
        image_id = (await api.upload(member, picture(seed)))["id"]
        patch = {"metadata": {"city": stored}}
        await api.client.patch(f"{IMAGES}/{image_id}", headers=member.headers, json=patch)
    params = {f"meta.city[{operator}]": unicodedata.normalize(form, value)}
    answer = await api.client.get(IMAGES, headers=member.headers, params=params)
    assert len(answer.json()["items"]) == 2


async def test_no_exception_speaks_to_the_caller(api: Api, member: UserWithKey) -> None:
    for body in (b"", b"--b\r\nnonsense\r\n\r\n", b"--b\r\nx\xff: y\r\n\r\n", form_of(('name="file"', picture()))[:-9]):
        headers = {"content-type": "multipart/form-data; boundary=b"}
        told = await post(api, member, body, 400, headers=headers)
        assert told["code"] == "multipart-invalid"
        assert told["detail"].startswith("The multipart body cannot be read. Send it whole")


async def test_a_query_string_may_have_another_encoding(api: Api, member: UserWithKey) -> None:
    headers = {**member.headers, "content-type": "image/png"}
    answer = await api.client.post(f"{IMAGES}?filename=bl%E5.png&tags=bl%E5", headers=headers, content=picture())
    assert (answer.json()["filename"], answer.json()["tags"]) == ("blå.png", ["blå"])
