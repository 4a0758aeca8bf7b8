"""Requests about images: in, found, out, compared, analysed and thrown away."""

from .request import (
    BROKEN_PHOTO,
    CLASSIFIED,
    PHOTO,
    SAME_PHOTO_IN_OTHER_BYTES,
    SMALL,
    TALL,
    TEXT,
    WIDE,
    Request,
)  # fmt: skip

_JPEG, _PNG = {"Content-Type": "image/jpeg"}, {"Content-Type": "image/png"}
_BYTES, _FORM = {"Content-Type": "application/octet-stream"}, {"Content-Type": "multipart/form-data; boundary=x"}
_ABSENT = "00000000-0000-7000-8000-00000000abcd"

_FIELDS = [
    {"name": "trip", "type": "string"}, {"name": "day", "type": "integer", "min": 0, "max": 31},
    {"name": "kind", "type": "enum", "enum": ["sea", "land"]}, {"name": "taken", "type": "date"},
    {"name": "who", "type": "string", "pii": True},
]  # fmt: skip

SCHEMAS = [
    Request("GET", "/api/v1/metadata-schema"),
    Request("PUT", "/api/v1/metadata-schema?team_id={team}", by="admin", json={"template": "photo-submission"}),
    Request("PUT", "/api/v1/metadata-schema?team_id={team}", by="admin", json={"fields": _FIELDS}),
    Request("PUT", "/api/v1/metadata-schema?team_id={team}", by="admin", json={"fields": [{"name": "x", "type": "y"}]}),
    Request("PUT", "/api/v1/metadata-schema?team_id={team}", json={"fields": _FIELDS}),
    Request("PUT", "/api/v1/metadata-schema?team_id={team}", by="admin", json={"fields": _FIELDS},
            headers={"If-Match": '"77"'}),
    Request("GET", "/api/v1/metadata-schema"),
]  # fmt: skip

UPLOADS = [
    Request("POST", "/api/v1/images?wait=25", files={"file": ("fjord.jpg", PHOTO, "image/jpeg")},
            data={"tags": "fjord,summer", "metadata": '{"trip": "north", "day": 3, "who": "Ada", "kind": "sea"}'},
            keep={"photo": "id"}),
    Request("POST", "/api/v1/images?wait=25", content=PHOTO, headers=_JPEG),
    Request("POST", "/api/v1/images?wait=25&filename=twin.jpg&tags=fjord", content=SAME_PHOTO_IN_OTHER_BYTES,
            headers=_JPEG, keep={"twin": "id"}),
    Request("POST", "/api/v1/upload?wait=25&filename=small.png&metadata=%7B%22taken%22%3A%222026-03-01%22%7D",
            content=SMALL, headers={**_PNG, "Idempotency-Key": "upload-small"}, keep={"small": "id"}),
    Request("POST", "/api/v1/upload?wait=25&filename=small.png&metadata=%7B%22taken%22%3A%222026-03-01%22%7D",
            content=SMALL, headers={**_PNG, "Idempotency-Key": "upload-small"}),
    Request("POST", "/api/v1/images?wait=25", content=TALL, headers={**_PNG, "Idempotency-Key": "upload-small"}),
    Request("POST", "/api/v1/images?wait=25", content=TALL, keep={"tall": "id"},
            headers={**_BYTES, "Content-Disposition": 'attachment; filename="t.png"'}),
    Request("POST", "/api/v1/images?wait=25", content=BROKEN_PHOTO, headers=_JPEG, keep={"broken": "id"}),
    Request("POST", "/api/v1/images?wait=25", by="stranger", content=PHOTO, headers=_JPEG, keep={"foreign": "id"}),
    Request("POST", "/api/v1/images?wait=25&team_id={team}", by="admin", content=WIDE, headers=_PNG,
            keep={"wide": "id"}),
    Request("POST", "/api/v1/images/import?wait=25", json={"url": "{source}fetched.png", "tags": ["fetched"]},
            keep={"fetched": "id"}),
    Request("POST", "/api/v1/images/import", json={"url": "{source}text"}),
    Request("POST", "/api/v1/images/import", json={"url": "{source}missing"}),
    Request("POST", "/api/v1/images/import", json={"url": "http://10.0.0.1/a.jpg"}),
    Request("POST", "/api/v1/images/import", json={"url": "ftp://example.org/a.jpg"}),
    Request("POST", "/api/v1/images", content=b"", headers=_JPEG),
    Request("POST", "/api/v1/images", content=TEXT, headers=_JPEG),
    Request("POST", "/api/v1/images", content=b"--x\r\nbroken", headers=_FORM),
    Request("POST", "/api/v1/images", data={"tags": "no file"}, files={"other": ("a", b"b", "text/plain")}),
    Request("POST", "/api/v1/images?metadata=%7B%22day%22%3A99%2C%22no%22%3A1%7D", content=WIDE, headers=_PNG),
    Request("POST", "/api/v1/images?metadata=broken", content=WIDE, headers=_PNG),
    Request("POST", "/api/v1/images", by="admin", content=WIDE, headers=_PNG),
    Request("POST", "/api/v1/images", by="viewer", content=WIDE, headers=_PNG),
]  # fmt: skip

LISTS = [
    *(Request("GET", f"/api/v1/images?{query}") for query in (
        "", "limit=2&include_total=true", "status=failed", "status=ready&status=failed&limit=1", "status=trashed",
        "tag=fjord&tag=summer", "content_type=image/png", "content_type=image/*&limit=1", "uploaded_by={member_id}",
        "created_after=2020-01-01&created_before=2120-01-01T00:00:00Z&limit=1", "min_size=90000&max_size=100000",
        "min_width=60&max_width=70&min_height=40&max_height=50", "orientation=landscape&visibility=private",
        "orientation=portrait", "visibility=public", "q=fjord", "meta.trip=north", "meta[day][gte]=2",
        "meta[kind]=sea&meta.day[in]=2,3", "meta.taken[lt]=2026-04-01", "meta.trip[exists]=false&limit=1",
        "meta.trip[prefix]=no", "analysis.quality.sharpness[gte]=0",
        "limit=0", "limit=x&status=none", "cursor=abc", "colour=red", "statuss=ready", "q=a&q=b", "meta.nothing=1",
        "meta.day=x", "meta.day[gte]=5&meta.day[lt]=2", "min_width=9&max_width=3", "team_id={other_team}",
        "orientation=tall", "orientation=square&orientation=portrait", "visibility=hidden",
        "uploaded_by=x", "created_after=yesterday",
    )),
    Request("GET", "/api/v1/images?limit=1&team_id={team}", by="admin", keep={"cursor": "next_cursor"}),
    Request("GET", "/api/v1/images?limit=1&team_id={team}&cursor={cursor}", by="admin"),
    *(Request("GET", f"/api/v1/images/facets?{query}") for query in (
        "field=trip", "field=day&top=1&status=ready", "field=kind&tag=fjord", "field=nothing", "",
    )),
    Request("GET", "/api/v1/images", by="stranger", headers={"Accept-Encoding": "gzip"}),
]  # fmt: skip

_THUMB, _CONTENT = "/api/v1/images/{photo}/derivatives/thumb", "/api/v1/images/{small}/content"

SINGLE = [
    Request("GET", "/api/v1/images/{photo}"),
    Request("HEAD", "/api/v1/images/{photo}"),
    Request("GET", "/api/v1/images/{photo}?include=analyses"),
    Request("GET", "/api/v1/images/{photo}?include=everything"),
    Request("GET", "/api/v1/images/{broken}"),
    Request("GET", "/api/v1/images/{foreign}"),
    Request("GET", f"/api/v1/images/{_ABSENT}"),
    Request("GET", "/api/v1/images/not-an-id"),
    Request("GET", _CONTENT, keep={"content_etag": "etag:"}),
    Request("HEAD", _CONTENT),
    *(Request("GET", _CONTENT, headers={"Range": value}) for value in (
        "bytes=0-99", "bytes=-7", "bytes=9000-", "bytes=999999-", "bytes=0-1,5-6", "lines=1-2",
    )),
    Request("GET", _CONTENT, headers={"If-None-Match": "{content_etag}"}),
    Request("GET", _CONTENT, headers={"If-None-Match": '"other"'}),
    Request("GET", _CONTENT, headers={"Range": "bytes=0-9", "If-Range": "{content_etag}"}),
    Request("GET", _CONTENT, headers={"Range": "bytes=0-9", "If-Range": '"other"'}),
    Request("GET", _CONTENT, headers={"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}),
    Request("GET", "/api/v1/images/{photo}/derivatives"),
    Request("GET", _THUMB, keep={"thumb_etag": "etag:"}),
    Request("GET", _THUMB, headers={"If-None-Match": "{thumb_etag}"}),
    Request("GET", _THUMB, headers={"Range": "bytes=0-9"}),
    Request("GET", "/api/v1/images/{photo}/derivatives/poster"),
    Request("GET", "/api/v1/images/{broken}/derivatives/thumb"),
    Request("GET", "/api/v1/images/{small}", keep={"small_etag": "etag:"}),
    Request("PATCH", "/api/v1/images/{small}", json={"filename": "new.png", "tags": ["a"], "metadata": {"day": 7}},
            headers={"If-Match": "{small_etag}"}),
    Request("PATCH", "/api/v1/images/{small}", json={"filename": "late.png"}, headers={"If-Match": '"1"'}),
    Request("PATCH", "/api/v1/images/{small}", json={"filname": "x", "tags": "a"}),
    Request("PATCH", "/api/v1/images/{small}", content=b"{", headers={"Content-Type": "application/json"}),
    Request("PATCH", "/api/v1/images/{small}", content=b"a=b", headers={"Content-Type": "text/plain"}),
    Request("PATCH", "/api/v1/images/{foreign}", json={"tags": []}),
    Request("DELETE", "/api/v1/images/{tall}", by="viewer"),
    Request("DELETE", "/api/v1/images/{tall}"),
    Request("DELETE", "/api/v1/images/{tall}"),
    Request("GET", "/api/v1/images/{tall}/content"),
    Request("GET", "/api/v1/images?status=trashed"),
    Request("POST", "/api/v1/images/{tall}/reprocess"),
    Request("POST", "/api/v1/images/{tall}/restore"),
    Request("POST", "/api/v1/images/{foreign}/restore"),
    Request("POST", "/api/v1/images/{tall}/reprocess"),
    # The answer comes when it has been processed.
    Request("POST", "/api/v1/images?wait=25", content=TALL, headers={"Content-Type": "image/png"}),
    Request("POST", "/api/v1/images/{foreign}/reprocess"),
    Request("DELETE", "/api/v1/images/{wide}", headers={"If-Match": '"99"'}),
    Request("DELETE", "/api/v1/images/{wide}"),
]  # fmt: skip

ALIKE = [
    Request("GET", "/api/v1/images/{photo}/similar"),
    Request("GET", "/api/v1/images/{photo}/similar?limit=1&max_distance=0.5"),
    Request("GET", "/api/v1/images/{photo}/similar?max_distance=9"),
    Request("GET", "/api/v1/images/{broken}/similar"),
    Request("GET", "/api/v1/duplicates"),
    Request("GET", "/api/v1/duplicates?max_distance=0&limit=1"),
    Request("POST", "/api/v1/duplicates/decisions",
            json={"image_ids": ["{photo}", "{twin}"], "decision": "not-duplicate"}, keep={"decision": "id"}),
    Request("POST", "/api/v1/duplicates/decisions", json={"image_ids": ["{photo}"], "decision": "different"}),
    Request("GET", "/api/v1/duplicates/decisions"),
    Request("GET", "/api/v1/duplicates"),
    Request("DELETE", "/api/v1/duplicates/decisions/{decision}"),
    Request("DELETE", f"/api/v1/duplicates/decisions/{_ABSENT}"),
]  # fmt: skip

ANALYSES = [
    Request("GET", "/api/v1/analyzers"),
    *(Request("POST", "/api/v1/analyze?wait=25", json={"image_id": "{photo}", "analyzer": name},
              keep={name: "analysis_id"})
      for name in ("quality", "colors", "skin", "labels", "nothing")),
    Request("POST", "/api/v1/analyze", json={"image_id": "{photo}", "analyzer": "quality"}),
    Request("POST", "/api/v1/analyze", json={"image_id": "{photo}", "parameters": {"no": 1}}),
    Request("POST", "/api/v1/analyze", json={"image_id": "{broken}", "analyzer": "quality"}),
    Request("POST", "/api/v1/analyze", json={"image_id": "{foreign}", "analyzer": "quality"}),
    Request("POST", "/api/v1/analyze", by="viewer", json={"image_id": "{photo}"}),
    Request("GET", "/api/v1/analyses/{quality}"),
    Request("GET", f"/api/v1/analyses/{_ABSENT}"),
    Request("GET", "/api/v1/images/{photo}/analyses?limit=2"),
    Request("GET", "/api/v1/images/{photo}?include=analyses"),
    Request("GET", "/api/v1/images?analysis.quality.sharpness[gte]=0"),
    Request("POST", "/api/v1/classify?wait=25&analyzer=colors", content=CLASSIFIED, headers=_PNG),
    Request("POST", "/api/v1/classify?wait=25&analyzer=colors", files={"file": ("a.png", CLASSIFIED, "image/png")}),
    Request("POST", "/api/v1/classify?wait=25", json={"url": "{source}fetched.png", "analyzer": "quality"}),
    Request("POST", "/api/v1/classify?wait=25", json={"image_id": "{photo}"}),
    Request("POST", "/api/v1/classify", json={}),
    Request("POST", "/api/v1/classify", content=BROKEN_PHOTO, headers=_JPEG),
    Request("POST", "/api/v1/classify?analyzer=nothing", content=CLASSIFIED, headers=_PNG),
    Request("POST", "/api/v1/classify", content=TEXT, headers=_JPEG),
    Request("PATCH", "/api/v1/teams/{team}", by="admin", json={"analyze_on_arrival": ["quality"]}),
    Request("POST", "/api/v1/images?wait=25", content=CLASSIFIED, headers=_PNG, keep={"arrived": "id"}),
    Request("GET", "/api/v1/images/{arrived}/analyses"),
    Request("GET", "/api/v1/credits"),
    Request("POST", "/api/v1/teams/{team}/credits/refill", by="admin", json={"set": 0, "reason": "empty"}),
    Request("POST", "/api/v1/analyze", json={"image_id": "{small}", "analyzer": "quality"}),
    Request("PATCH", "/api/v1/teams/{team}", by="admin", json={"quota_images": 1}),
    Request("GET", "/api/v1/usage/storage"),
    Request("POST", "/api/v1/images", content=WIDE + b"\0", headers=_PNG),
]  # fmt: skip

REQUESTS = [*SCHEMAS, *UPLOADS, *SINGLE, *LISTS, *ALIKE, *ANALYSES]
