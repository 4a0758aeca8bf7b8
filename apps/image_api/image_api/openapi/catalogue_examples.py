"""Examples of bodies of collections, share links, saved searches, usage and the system, by the name of their schema."""

from typing import Any

from image_api.http.paths import API_PREFIX
from image_api.openapi.examples import EXAMPLES

_listed_image = EXAMPLES["ListedImage"]
_collection = {
    "id": "0199c0de-0000-7000-8000-00000000000b",
    "team_id": _listed_image["team_id"],
    "name": "Norway 2026",
    "cover_image_id": None,
    "cover": {
        "image_id": _listed_image["id"],
        "thumbnail_url": EXAMPLES["DerivativeList"]["items"][0]["url"],
        "placeholder": _listed_image["placeholder"],
    },
    "created_at": _listed_image["created_at"],
    "updated_at": _listed_image["created_at"],
}

_saved_search = {
    "id": "0199c0de-0000-7000-8000-00000000000c",
    "team_id": _listed_image["team_id"],
    "name": "Fjords with a place",
    "query": "tag=fjord&has=location",
    "images_url": f"{API_PREFIX}/images?tag=fjord&has=location",
    "created_at": _listed_image["created_at"],
    "updated_at": _listed_image["created_at"],
}

_operation = {
    "id": "0199c0de-0000-7000-8000-00000000000e",
    "team_id": _listed_image["team_id"],
    "kind": "batch",
    "status": "running",
    "parameters": {"action": "tag", "tags": ["fjord"]},
    "total": 24310,
    "done": 12000,
    "failed": 3,
    "left": 12307,
    "estimate": {"items": 24310, "bytes": 97240000000, "credits": 0, "minutes": 5},
    "budget": None,
    "credits_spent": 0,
    "failure": None,
    "created_by": "0199c0de-0000-7000-8000-000000000002",
    "created_at": _listed_image["created_at"],
    "started_at": _listed_image["created_at"],
    "finished_at": None,
}

_import_source = {
    "id": "0199c0de-0000-7000-8000-00000000000f",
    "team_id": _listed_image["team_id"],
    "name": "old-site",
    "bucket": "example-old-site",
    "prefix": "uploads/",
    "created_at": _listed_image["created_at"],
}

_share_link = {
    "id": "0199c0de-0000-7000-8000-00000000000d",
    "team_id": _listed_image["team_id"],
    "title": "Norway 2026",
    "collection_id": None,
    "presets": ["thumb", "preview", "large"],
    "download": "none",
    "notice": None,
    "has_password": False,
    "expires_at": "2030-01-01T00:00:00Z",
    "state": "open",
    "views": 12,
    "last_viewed_at": _listed_image["created_at"],
    "created_at": _listed_image["created_at"],
    "updated_at": _listed_image["created_at"],
}
_token = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"  # noqa: S105 (an example)

_CURSOR = "AZnA3gAAcACAAAAAAAAAAbMOeEXZrEL9hVYpbP5bQDkAAAAAAAAE0gAAAAAAAAAB"
_change = {
    "id": "0199c0de-0000-7000-8000-000000000021",
    "type": "image.ready",
    "timestamp": _listed_image["created_at"],
    "team_id": _listed_image["team_id"],
    "data": {"height": 3000, "image_id": _listed_image["id"], "presets": ["thumb"], "revision": 3, "width": 4000},
}

_webhook = {
    "id": "0199c0de-0000-7000-8000-000000000010",
    "team_id": _listed_image["team_id"],
    "url": "https://example.com/hooks/images",
    "description": None,
    "types": ["image.failed", "image.ready"],
    "disabled": False,
    "disabled_reason": None,
    "disabled_at": None,
    "failing_since": None,
    "held_until": None,
    "previous_secret_expires_at": None,
    "created_at": _listed_image["created_at"],
    "updated_at": _listed_image["created_at"],
}

_webhook_delivery = {
    "id": "0199c0de-0000-7000-8000-000000000011",
    "webhook_id": _webhook["id"],
    "team_id": _listed_image["team_id"],
    "event_id": "0199c0de-0000-7000-8000-000000000012",
    "event_type": "image.ready",
    "replay": 0,
    "status": "pending",
    "attempt_count": 2,
    "next_attempt_at": "2026-03-01T09:35:12Z",
    "created_at": _listed_image["created_at"],
    "ended_at": None,
}

_webhook_attempt = {
    "number": 1,
    "started_at": _listed_image["created_at"],
    "duration_ms": 84,
    "status": 500,
    "error": None,
    "response": "Internal Server Error",
}

CATALOGUE_EXAMPLES: dict[str, dict[str, Any]] = {
    "Change": _change,
    "Changes": {"items": [_change], "next_cursor": _CURSOR, "has_more": False},
    "Collection": {**_collection, "image_count": 12},
    "GrownCollection": {**_collection, "image_count": 12, "added": 1, "open_links": 0},
    "ShrunkCollection": {**_collection, "image_count": 11, "removed": 1},
    "CollectionPage": {"items": [_collection], "next_cursor": None},
    "Operation": _operation,
    "OperationPage": {"items": [_operation], "next_cursor": None},
    "OperationEstimate": _operation["estimate"],
    "OperationFailure": {"code": "budget-exhausted", "detail": "The budget of 500 credits is used up."},
    "Webhook": _webhook,
    "SecretWebhook": {**_webhook, "secret": "whsec_<32 bytes in base64, shown this once>"},
    "WebhookPage": {"items": [_webhook], "next_cursor": None},
    "WebhookDelivery": _webhook_delivery,
    "WebhookDeliveryPage": {"items": [_webhook_delivery], "next_cursor": None},
    "WebhookAttempt": _webhook_attempt,
    "WebhookDeliveryDetail": {**_webhook_delivery, "attempts": [_webhook_attempt]},
    "ReplayResult": {"count": 42, "next_since": None},
    "ShareLink": {**_share_link, "image_count": 3},
    "AddressedShareLink": {
        **_share_link,
        "image_count": 3,
        "token": _token,
        "url": f"https://images.example.org/s/{_token}",
    },
    "ShareLinkPage": {"items": [_share_link], "next_cursor": None},
    "Usage": {
        "team_id": _listed_image["team_id"],
        "first_day": "2026-03-01",
        "last_day": "2026-03-30",
        "requests": [
            {
                "day": "2026-03-01",
                "operation": "GET /api/v1/images",
                "credential_id": None,
                "requests": 412,
                "failed": 3,
            }
        ],
        "credits": [{"day": "2026-03-01", "operation": "analyze:quality", "credits": 12}],
        "delivery": [{"day": "2026-03-01", "requests": 1830, "bytes": 96170000, "pictures_made": 12}],
    },
    "Limits": {
        "team_id": _listed_image["team_id"],
        "rate_limits": [{"policy": "requests", "requests": 100, "window_seconds": 2}],
        "upload": {"max_bytes": 20971520, "deadline_seconds": 300},
        "images_per_request": 1000,
        "images_per_collection": 10000,
        "quotas": {
            "storage_bytes": {"used": 1520435, "limit": 10737418240},
            "images": {"used": 1, "limit": None},
            "presets": {"used": 1, "limit": 32},
            "collections": {"used": 2, "limit": 1000},
            "saved_searches": {"used": 1, "limit": 200},
            "share_links": {"used": 3, "limit": 1000},
        },
    },
    "ImportSource": _import_source,
    "ImportSourcePage": {"items": [_import_source], "next_cursor": None},
    "SavedSearch": _saved_search,
    "SavedSearchPage": {"items": [_saved_search], "next_cursor": None},
    "CollectionImages": {"items": [_listed_image], "next_cursor": None},
    "Timeline": {
        "months": [{"month": "2026-03", "count": 412}, {"month": "2026-02", "count": 96}],
        "next_before": None,
    },
    "MonthOfImages": {
        "id": [_listed_image["id"]],
        "ratio": [1.5],
        "placeholder": [_listed_image["placeholder"]],
        "status": ["ready"],
        "next_after": None,
    },
    "AuditChain": {
        "newest_seal": {"number": 4, "last_position": 812, "sealed_at": "2026-03-01T09:31:00Z"},
        "unsealed_events": 2,
        "at_least": False,
        "oldest_unsealed_at": "2026-03-01T09:31:40Z",
        "verification": {"intact": True, "seal": 4, "reason": None, "verified_at": "2026-03-01T09:31:20Z"},
    },
    "SystemHealth": {
        "state": "warning",
        "checks": [
            {"name": "storage", "state": "ok", "explanation": "All three buckets answer.", "next_step": None},
            {
                "name": "delivery",
                "state": "warning",
                "explanation": "There is no delivery service, so pages show no pictures.",
                "next_step": "Set DELIVERY_URL.",
            },
        ],
    },
}
