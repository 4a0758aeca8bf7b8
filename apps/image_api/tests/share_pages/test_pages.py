"""What the pages of share links show, to whom, and what they never do."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from sqlalchemy import delete, insert, update

from image_core.delivery import grant, link_grant
from image_core.delivery.encoding import image_text
from image_core.keys import master_secrets
from image_core.models import collection, collection_member, preset, team
from image_core.testing import UserWithKey

from ..conftest import DELIVERY, Api, MakeApi
from .conftest import Link, Page, add_images, add_link

HOSTILE = "\"><script>alert('x')</script><img src=x onerror=alert(1)> & Ærø"


class TestGallery:
    async def test_pictures_are_shown_by_addresses_of_this_link(self, api: Api, link: Link) -> None:
        answer = await link.get()
        assert answer.status_code == 200
        page = Page(answer)
        assert page.text.startswith("Sommer i fjorden")
        assert "3 pictures" in page.text
        assert [found["href"] for found in page.all("a")] == [link.path_of(each) for each in link.image_ids]
        for image_id, shown in zip(link.image_ids, page.pictures, strict=True):
            address = grant.parse(urlsplit(shown["src"] or "").path)
            assert address is not None
            assert address.grant is not None
            assert (address.image_id, link_grant.link_of(address.grant)) == (
                image_id, link_grant.LinkScope(link.id, 0)
            )  # fmt: skip
            master = master_secrets.from_text(DELIVERY["delivery_master"])
            assert grant.is_signed_by(grant.key_bytes(master, address.grant.key_number), address)
            assert (shown["width"], shown["height"], shown["decoding"]) == ("1024", "768", "async")
            assert [part.split()[1] for part in (shown["srcset"] or "").split(",")] == ["256w", "1024w", "2048w"]
        assert len(page.all("img", class_="placeholder")) == 3

    async def test_the_page_is_loaded_again_before_its_addresses_expire(self, link: Link) -> None:
        answer = await link.get()
        address = grant.parse(urlsplit(Page(answer).pictures[0]["src"] or "").path)
        assert address is not None
        assert address.grant is not None
        left = address.grant.expiry_minutes * 60 - datetime.now(UTC).timestamp()
        assert left + 5 >= 1800
        assert left <= 3600
        assert 295 <= left - int(answer.headers["refresh"]) <= 305

    async def test_headers_let_nothing_in_and_nothing_out(self, link: Link) -> None:
        answer = await link.get()
        assert {name: answer.headers[name] for name in ("cache-control", "referrer-policy", "x-robots-tag")} == {
            "cache-control": "no-store", "referrer-policy": "same-origin", "x-robots-tag": "noindex",
        }  # fmt: skip
        assert answer.headers["content-security-policy"] == (
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'self'; "
            "img-src 'self' https://pictures.test/i/ data:"
        )
        page = Page(answer)
        assert page.tags & {"script", "style", "iframe"} == set()
        assert page.all("meta", name="robots") == [{"name": "robots", "content": "noindex"}]

    async def test_a_page_is_compressed_for_phones_on_the_way(self, link: Link) -> None:
        answer = await link.get(accept_encoding="gzip")
        assert (answer.headers["content-encoding"], len(Page(answer).pictures)) == ("gzip", 3)

    async def test_sixty_pictures_a_page_with_the_pages_before_and_after(self, api: Api, member: UserWithKey) -> None:
        shared = await add_link(api, member, await add_images(api, member, 121))
        numbers = {1: (1, 60), 2: (61, 120), 3: (121, 121)}
        for number, (first, last) in numbers.items():
            page = Page(await shared.get("" if number == 1 else f"?page={number}"))
            assert [found["alt"] for found in page.pictures] == [f"Picture {n}" for n in range(first, last + 1)]
            assert f"Page {number} of 3" in page.text
            before = {1: [], 2: [shared.path], 3: [f"{shared.path}?page=2"]}[number]
            after = {1: [f"{shared.path}?page=2"], 2: [f"{shared.path}?page=3"], 3: []}[number]
            assert (page.rel("prev"), page.rel("next")) == (before, after)

    @pytest.mark.parametrize("query", ["?page=99", "?page=0", "?page=-1", "?page=x", "?fbclid=x&utm_source=y"])
    async def test_whatever_is_added_to_a_link_it_works(self, link: Link, query: str) -> None:
        answer = await link.get(query)
        assert (answer.status_code, len(Page(answer).pictures)) == (200, 3)

    async def test_only_pictures_of_the_link_that_can_be_shown(
        self, api: Api, member: UserWithKey, stranger: UserWithKey, link: Link
    ) -> None:
        for owner in (member, stranger):
            await add_link(api, owner, await add_images(api, owner, 1))
        gone, failed, kept = link.image_ids
        await api.set_row(gone, deleted_at=datetime.now(UTC))
        await api.set_row(failed, status="failed", failure_code="not-an-image", failure_message="No image.")
        # It is being processed again, and its pictures are still there.
        await api.set_row(kept, status="stored")
        page = Page(await link.get())
        assert [found["href"] for found in page.all("a")] == [link.path_of(kept)]
        for image_id in (gone, failed):
            assert (await link.get(f"/{image_text(image_id)}")).status_code == 404

    async def test_a_collection_is_shown_in_its_order_as_it_is_now(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        first, second, third = await add_images(api, member, 3)
        collection_id = uuid4()
        await api.rows.execute(insert(collection).values(id=collection_id, team_id=member.team_id, name="Fjord"))
        for position, image_id in enumerate((third, first)):
            row = {"collection_id": collection_id, "image_id": image_id, "team_id": member.team_id}
            await api.rows.execute(insert(collection_member).values(position=position, **row))
        shared = await add_link(api, member, [], collection_id=collection_id)
        page = Page(await shared.get())
        assert [found["href"] for found in page.all("a")] == [shared.path_of(third), shared.path_of(first)]
        assert (await shared.get(f"/{image_text(second)}")).status_code == 404
        await api.rows.execute(delete(collection_member).where(collection_member.c.image_id == third))
        assert len(Page(await shared.get()).pictures) == 1

    async def test_an_empty_link_says_so(self, api: Api, member: UserWithKey) -> None:
        page = Page(await (await add_link(api, member, [])).get())
        assert "There are no pictures here at the moment." in page.text
        assert page.og["og:title"] == "Shared pictures"
        assert "og:image" not in page.og

    async def test_texts_are_shown_as_texts(self, api: Api, member: UserWithKey) -> None:
        texts = {"alt_text": HOSTILE, "alt_text_language": "en", "description": HOSTILE, "filename": "secret name.png"}
        shared = await add_link(api, member, await add_images(api, member, 1, **texts), title=HOSTILE)
        for path in ("", f"/{image_text(shared.image_ids[0])}"):
            answer = await shared.get(path)
            page = Page(answer)
            assert page.pictures[0]["alt"] == HOSTILE
            assert HOSTILE in page.text
            assert page.og["og:title"] == HOSTILE
            assert page.tags & {"script", "b"} == set()
            assert "secret name" not in answer.text

    async def test_a_picture_is_named_by_alt_text_then_description_then_number(
        self, api: Api, member: UserWithKey
    ) -> None:
        ids = [
            *await add_images(api, member, 1, alt_text="En båt", alt_text_language="nb", description="A boat"),
            *await add_images(api, member, 1, description="A boat"),
            *await add_images(api, member, 1),
        ]
        page = Page(await (await add_link(api, member, ids)).get())
        assert [(found["alt"], found.get("lang")) for found in page.pictures] == [
            ("En båt", "nb"), ("A boat", None), ("Picture 3", None),
        ]  # fmt: skip

    async def test_presets_of_the_link_are_shown_and_no_others(self, api: Api, link: Link) -> None:
        await link.change(presets=["thumb", "gone"])
        page = Page(await link.get())
        assert {part.split()[1] for found in page.pictures for part in (found["srcset"] or "").split(",")} == {"256w"}
        await link.change(presets=["gone"])
        assert (await link.get()).status_code == 200

    @pytest.mark.parametrize(
        ("presets", "frames", "widths"),
        [
            (["square", "preview"], 1, {1024}),
            (["square"], 1, {400}),
            (["thumb", "preview", "large"], 1, {256, 1024, 2048}),
            # `large` is a single frame of them.
            (["thumb", "preview", "large"], 20, {256, 1024}),
            (["large"], 20, {2048}),
        ],
    )
    async def test_pictures_are_shown_whole_and_moving_where_a_preset_does_so(
        self, api: Api, member: UserWithKey, presets: list[str], frames: int, widths: set[int]
    ) -> None:
        square = {"name": "square", "width": 400, "height": 400, "fit": "cover", "formats": ["webp"]}
        await api.rows.execute(insert(preset).values(team_id=member.team_id, **square))
        shared = await add_link(api, member, await add_images(api, member, 1, frames=frames), presets=presets)
        for path in ("", f"/{image_text(shared.image_ids[0])}"):
            (shown,) = Page(await shared.get(path)).pictures
            assert {int(part.split()[1][:-1]) for part in (shown["srcset"] or "").split(",")} == widths


class TestPicture:
    async def test_a_picture_leads_to_its_neighbors_and_back(self, link: Link) -> None:
        first, second, third = link.image_ids
        page = Page(await link.get(f"/{image_text(second)}"))
        assert "2 of 3" in page.text
        assert (page.rel("prev"), page.rel("next")) == ([link.path_of(first)], [link.path_of(third)])
        assert f"{link.path}#picture-2" in [found["href"] for found in page.all("a")]
        assert page.pictures[0]["width"] == "2048"
        ends = [Page(await link.get(f"/{image_text(each)}")) for each in (first, third)]
        assert [(page.rel("prev"), page.rel("next")) for page in ends] == [
            ([], [link.path_of(second)]), ([link.path_of(second)], []),
        ]  # fmt: skip

    @pytest.mark.parametrize(("download", "file"), [("none", None), ("stripped", "full"), ("original", "original")])
    async def test_the_file_that_the_link_allows_can_be_downloaded(
        self, link: Link, download: str, file: str | None
    ) -> None:
        await link.change(download=download)
        page = Page(await link.get(f"/{image_text(link.image_ids[0])}"))
        links = [urlsplit(found["href"] or "").path for found in page.all("a")]
        addresses = [found for path in links if (found := grant.parse(path))]
        assert [(found.spec, found.extension) for found in addresses] == ([(file, "file")] if file else [])

    async def test_pictures_of_others_and_what_is_none_are_not_there(
        self, api: Api, member: UserWithKey, stranger: UserWithKey, link: Link
    ) -> None:
        others = [*await add_images(api, member, 1), *await add_images(api, stranger, 1)]
        await add_link(api, member, others[:1])
        for text in (*map(image_text, others), str(link.image_ids[0]), "x", "%00"):
            assert (await link.get(f"/{text}")).status_code == 404


class TestEnds:
    async def test_every_link_that_opens_nothing_gives_the_same_page(self, api: Api, link: Link) -> None:
        answers = [await api.client.request(method, "/s/" + "0" * 32) for method in ("GET", "POST")]
        answers += [await api.client.get(f"/s/{token}") for token in ("x", "%00%ff", "a" * 2000)]
        past = datetime.now(UTC) - timedelta(seconds=1)
        for columns in ({"expires_at": past}, {"expires_at": past, "ended_at": past}):
            await link.change(**columns)
            answers += [await link.get(), await link.get(f"/{image_text(link.image_ids[0])}")]
        assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}
        varying = {"x-request-id", "ratelimit", "date"}
        headers = [{name: value for name, value in answer.headers.items() if name not in varying} for answer in answers]
        assert all(each == headers[0] for each in headers)

    async def test_nothing_is_shown_of_a_team_that_is_being_removed(
        self, api: Api, member: UserWithKey, link: Link
    ) -> None:
        await api.rows.execute(update(team).where(team.c.id == member.team_id).values(deleting_at=datetime.now(UTC)))
        assert (await link.get()).status_code == 404

    async def test_without_delivery_there_is_nothing_to_show(self, link: Link, make_api: MakeApi) -> None:
        async with make_api(delivery_url=None, delivery_master=None) as other:
            assert (await other.client.get(link.path)).status_code == 404

    async def test_an_outage_is_a_page_that_says_when_to_come_back(
        self, api: Api, link: Link, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from image_api.share_pages import service
        from image_core import errors

        async def unavailable(*_: object) -> None:
            raise errors.DatabaseUnavailable("Away.") from OSError()

        monkeypatch.setattr(service, "find_open_link", unavailable)
        answer = await link.get()
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "Please wait a moment" in Page(answer).text


@pytest.mark.parametrize("headers", [{}, {"cookie": "__Secure-im_link=1.x"}])
async def test_visitors_are_limited_by_address_and_style_sheets_are_not(
    make_api: MakeApi, api: Api, headers: dict[str, str]
) -> None:
    async with make_api(address_rate_limit_per_second=1) as made:
        link = await add_link(made, await made.user(), [])
        answers = [await link.get(**headers) for _ in range(10)]
        assert {answer.status_code for answer in answers} == {200, 429}
        assert "Please wait a moment" in Page(next(each for each in answers if each.status_code == 429)).text
        assert 429 in {(await link.enter("x", **headers)).status_code for _ in range(10)}
        assert (await made.client.get("/static/share/style.css")).status_code == 200


async def test_the_style_sheet_is_kept_for_a_year(api: Api, link: Link) -> None:
    (sheet,) = Page(await link.get()).all("link", rel="stylesheet")
    answer = await api.client.get(sheet["href"] or "")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/css; charset=utf-8"


def test_there_is_a_class_for_every_ratio() -> None:
    from image_api.share_pages import pages

    sheet = pages.static_files._files["style.css"].content.decode()
    sizes = [(1, 40), (1, 1), (3, 2), (4000, 3000), (40, 1)]
    classes = {pages.ratio_class(*size) for size in sizes}
    assert len(classes) == 5
    assert all(f".{name} {{" in sheet for name in classes)
