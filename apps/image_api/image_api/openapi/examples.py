"""An example for each body that the OpenAPI document describes, by the name of its schema."""

from typing import Any

from image_api.http.paths import API_PREFIX
from image_api.openapi.examples_of_admin import ADMIN
from image_api.openapi.examples_of_uploads import UPLOADS

_TEAM_ID = "0199c0de-0000-7000-8000-000000000001"
_USER_ID = "0199c0de-0000-7000-8000-000000000002"
_CREDENTIAL_ID = "0199c0de-0000-7000-8000-000000000003"
_IMAGE_ID = "0199c0de-0000-7000-8000-000000000004"
_SESSION_ID = "0199c0de-0000-7000-8000-000000000005"
_OTHER_IMAGE_ID = "0199c0de-0000-7000-8000-000000000009"
_DELIVERY_KEY_ID = "0199c0de-0000-7000-8000-00000000000a"
_INVITATION_ID = "0199c0de-0000-7000-8000-000000000006"
_ADDRESS = "https://pictures.example.org/i/k3-hu5a8-e-scw7mOA_jdjkjz5IXVQunQ/AZIhMFBg12TkoIFLp8YgvQ.9c41e2/t-w640-h480-cover.webp"
_TIME = "2026-03-01T09:30:00Z"
_KEY = {"key_prefix": "im_3kTz9QwX", "api_key": "im_3kTz9QwX_<secret, shown this once>"}

_team = {
    "id": _TEAM_ID,
    "name": "Field team",
    "keep_location": True,
    "analyze_on_arrival": ["quality"],
    "label_source": "own",
    "default_visibility": "private",
    "quota_bytes": 10737418240,
    "quota_images": None,
    "deleting_at": None,
    "created_at": _TIME,
    "updated_at": _TIME,
}
_user = {
    "id": _USER_ID,
    "team_id": _TEAM_ID,
    "name": "Ada",
    "email": "ada@example.org",
    "role": "member",
    "scopes": ["images:read", "images:write"],
    "disabled_at": None,
    "created_at": _TIME,
    "updated_at": _TIME,
}
_last_use = {"used_at": _TIME, "address": "192.0.2.7", "user_agent": "nightly-import/2.1"}
_credential = {
    "id": _CREDENTIAL_ID,
    "user_id": _USER_ID,
    "name": "nightly import",
    "key_prefix": _KEY["key_prefix"],
    "scopes": ["images:write"],
    "expires_at": "2030-01-01T00:00:00Z",
    "address_ranges": ["192.0.2.0/24"],
    "last_use": _last_use,
    "previous": {"key_prefix": "im_7pLm2RtY", "expires_at": _TIME, "last_use": _last_use},
    "created_at": _TIME,
    "rotated_at": _TIME,
    "revoked_at": None,
    "revoked_reason": None,
}
_session = {
    "id": _SESSION_ID,
    "current": True,
    "address": "192.0.2.7",
    "user_agent": "Mozilla/5.0",
    "created_at": _TIME,
    "expires_at": _TIME,
}
_delivery_key = {
    "id": _DELIVERY_KEY_ID,
    "team_id": _TEAM_ID,
    "number": 1204557098,
    "name": "shop",
    "state": "active",
    "created_at": _TIME,
    "verifying_at": None,
    "retired_at": None,
}
_preset = {
    "name": "card",
    "spec": "card@ea0a",
    "built_in": False,
    "width": 640,
    "height": 480,
    "fit": "cover",
    "gravity": "at",
    "quality": 80,
    "formats": ["webp", "avif"],
    "background": None,
    "animated": True,
    "metadata": "none",
    "open": True,
    "eager": False,
    "updated_at": _TIME,
}
_invitation = {
    "id": _INVITATION_ID,
    "team_id": _TEAM_ID,
    "email": "ada@example.org",
    "role": "member",
    "invited_by": _USER_ID,
    "created_at": _TIME,
    "expires_at": _TIME,
    "accepted_at": None,
    "revoked_at": None,
}
_derivative = {
    "preset": "thumb",
    "url": f"{API_PREFIX}/images/{_IMAGE_ID}/derivatives/thumb",
    "width": 256,
    "height": 192,
    "size_bytes": 9120,
    "spec_hash": "71b0e6dd59edbdbde5c855f41cae92a9",
    "content_type": "image/webp",
}
_listed_image = {
    "id": _IMAGE_ID,
    "team_id": _TEAM_ID,
    "uploaded_by": _USER_ID,
    "status": "ready",
    "failure": None,
    "filename": "fjord.jpg",
    "content_type": "image/jpeg",
    "size_bytes": 1520435,
    "size": "1.45 MiB",
    "width": 4000,
    "height": 3000,
    "frames": 1,
    "tags": ["fjord"],
    "description": "The fjord in the morning, seen from the quay.",
    "alt_text": {"text": "A narrow fjord between snowy mountains.", "language": "en"},
    "rating": 4,
    "focal_point": {"x": 0.62, "y": 0.4},
    "visibility": None,
    "placeholder": "LEHV6nWB2yk8pyo0adR*.7kCMdnj",
    "taken_at": "2026-03-01T09:28:07.250000Z",
    "taken_at_source": "exif",
    "taken_local": "2026-03-01T10:28:07.250000",
    "created_at": _TIME,
    "updated_at": _TIME,
    "deleted_at": None,
}
_image = {
    **_listed_image,
    "format": "jpeg",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "duplicate_of": None,
    "ready_at": _TIME,
    "facts": {
        "format": "jpeg",
        "frames": 1,
        "exif": {"camera_make": "Maker", "iso": 100, "taken_at": "2026-03-01T10:28:07.25+01:00"},
        "location": {"latitude": 59.9083333, "longitude": 10.7333333},
        "colors": [{"hex": "#2f6f9f", "share": 0.61}],
        "blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj",
    },
    "metadata": {"country": "NO"},
    "derivatives": [_derivative],
    "delivery_tag": "9c41e2",
}

_summary = {
    **{name: _image[name] for name in ("filename", "content_type", "size_bytes", "width", "height", "created_at")},
    "id": _OTHER_IMAGE_ID,
    "thumbnail_url": f"{API_PREFIX}/images/{_OTHER_IMAGE_ID}/derivatives/thumb",
}
_group = {
    "images": [{**_summary, "id": _IMAGE_ID, "thumbnail_url": _derivative["url"]}, _summary],
    "image_count": 2,
    "keep_image_id": _IMAGE_ID,
    "distances": [{"image_ids": [_IMAGE_ID, _OTHER_IMAGE_ID], "distance": 4}],
}
_decision = {
    "id": "0199c0de-0000-7000-8000-000000000005",
    "image_ids": [_IMAGE_ID, _OTHER_IMAGE_ID],
    "decision": "not-duplicate",
    "decided_by": _USER_ID,
    "created_at": _TIME,
}
_credits = {
    "team_id": _TEAM_ID,
    "balance": 988,
    "reserved": 2,
    "low_threshold": 100,
    "schedule": {"amount": 1000, "mode": "set", "period": "month", "next_refill_at": "2026-04-01T00:00:00Z"},
}
_entry = {
    "id": "0199c0de-0000-7000-8000-000000000005",
    "kind": "add",
    "amount": 500,
    "balance_after": 988,
    "reservation_id": None,
    "operation": None,
    "reason": "April",
    "actor_user_id": _USER_ID,
    "created_at": _TIME,
}
_analysis = {
    "analysis_id": "0199c0de-0000-7000-8000-000000000005",
    "status": "done",
    "image_id": _IMAGE_ID,
    "analyzer": "colors",
    "version": "1",
    "parameters": {"colors": 6},
    "sha256": _image["sha256"],
    "requested_at": _TIME,
    "analyzed_at": _TIME,
    "failure": None,
    "result": {
        "palette": [{"hex": "#2f6f9f", "name": "steelblue", "share": 0.61}],
        "transparency": 0.0,
        "grey": False,
        "mean_chroma": 31.4,
        "warmth": -0.7,
        "temperature": "cool",
    },
}
_analyzer = {
    "model": None,
    "name": "colors",
    "version": "1",
    "summary": "Finds the main colours of an image.",
    "measures": ["palette", "named colours"],
    "price_credits": 1,
    "parameters": {"type": "object"},
    "result": {"type": "object"},
}
_audit_event = {
    "id": "0199c0de-0000-7000-8000-000000000005",
    "position": 81,
    "team_id": _TEAM_ID,
    "actor_user_id": _USER_ID,
    "credential_id": _CREDENTIAL_ID,
    "session_id": None,
    "action": "team.changed",
    "target_type": "team",
    "target_id": _TEAM_ID,
    "before": {"name": "Field team"},
    "after": {"name": "Field team north"},
    "request_id": "5f0c6b1e2d3a4958b7c6d5e4f3a2b1c0",
    "address": "203.0.113.7",
    "created_at": _TIME,
}

EXAMPLES: dict[str, dict[str, Any]] = {
    **ADMIN,
    **UPLOADS,
    "Team": _team,
    "RemovedTeam": {**_team, "deleting_at": _TIME, "operation_id": "0199c0de-0000-7000-8000-000000000013"},
    "TeamPage": {"items": [_team], "next_cursor": None},
    "User": _user,
    "UserPage": {"items": [_user], "next_cursor": None},
    "CreatedUser": {"user": _user, "credential_id": _CREDENTIAL_ID, **_KEY},
    "WhoAmI": {
        "user_id": _USER_ID,
        "user_name": "Ada",
        "team_id": _TEAM_ID,
        "role": "member",
        "scopes": ["images:read", "images:write"],
        "credential_id": _CREDENTIAL_ID,
        "key_prefix": "im_3kTz9QwX",
        "key_expires_at": None,
        "is_default_key": False,
        "credits_left": 988,
        "session_id": None,
    },
    "Registered": {"status": "accepted"},
    "AccessToken": {
        "access_token": "<access token>",
        "token_type": "Bearer",
        "expires_in": 900,
        "session_id": _SESSION_ID,
        "session_expires_at": _TIME,
    },
    "CookieSession": {"csrf_token": "<CSRF token>", "session_id": _SESSION_ID, "session_expires_at": _TIME},
    "CurrentSession": {
        "session_id": _SESSION_ID,
        "session_expires_at": _TIME,
        "csrf_token": "<CSRF token>",
        "user_id": _USER_ID,
        "user_name": "Ada",
        "team_id": _TEAM_ID,
        "role": "member",
        "scopes": ["images:read", "images:write"],
    },
    "Session": _session,
    "SessionList": {"items": [_session]},
    "Invitation": _invitation,
    "CreatedInvitation": {**_invitation, "token": "<token, shown this once>"},
    "InvitationPage": {"items": [_invitation], "next_cursor": None},
    "IssuedPasswordReset": {"id": _INVITATION_ID, "token": "<token, shown this once>", "expires_at": _TIME},
    "Credits": _credits,
    "Refilled": {"balance": 988, "entry": _entry},
    "StorageUsage": {
        "team_id": _TEAM_ID,
        "used_bytes": 1520435,
        "used": "1.45 MiB",
        "used_images": 1,
        "quota_bytes": 10737418240,
        "quota": "10 GiB",
        "quota_images": None,
    },
    "LedgerPage": {"items": [_entry], "next_cursor": None},
    "Credential": _credential,
    "Preset": _preset,
    "PresetList": {"items": [_preset]},
    "ChangedPreset": {**_preset, "public_images": 12},
    "SignedAddresses": {
        "items": [
            {"url": _ADDRESS, "expires_at": _TIME},
            {
                "error": {
                    "code": "delivery-spec-invalid",
                    "detail": "Not the canonical spelling of these transforms, which is t-w640-h480-cover.",
                    "canonical": "t-w640-h480-cover",
                    "nearest": None,
                }
            },
        ]
    },
    "Preview": {
        "spec": "t-w640-h480-cover",
        "width": 640,
        "height": 480,
        "urls": {"webp": _ADDRESS},
        "expires_at": _TIME,
    },
    "DeliveryKey": {**_delivery_key, "state": "verifying", "verifying_at": _TIME},
    "CreatedDeliveryKey": {**_delivery_key, "key": "<32 bytes in base64url, shown this once>"},
    "DeliveryKeyPage": {"items": [_delivery_key], "next_cursor": None},
    "CredentialPage": {"items": [_credential], "next_cursor": None},
    "CreatedCredential": {**_credential, "last_use": None, "previous": None, "rotated_at": None, **_KEY},
    "ReceivedReport": {"status": "received"},
    "RotatedKey": {
        "credential_id": _CREDENTIAL_ID,
        **_KEY,
        "previous": {"credential_id": _CREDENTIAL_ID, "expires_at": _TIME, "last_used_at": None},
    },
    "Image": _image,
    "UploadedImage": {**_image, "duplicate": False, "notice": None},
    "ListedImage": _listed_image,
    "ImagePage": {"items": [_listed_image], "next_cursor": None},
    "BatchResult": {
        "action": "tag",
        "validate_only": False,
        "changed": 1,
        "unchanged": 0,
        "failed": 1,
        "credits": None,
        "items": [
            {"id": _IMAGE_ID, "outcome": "changed", "error": None, "analysis_id": None},
            {
                "id": _OTHER_IMAGE_ID,
                "outcome": "not-found",
                "error": {"code": "image-not-found", "detail": "The image does not exist."},
                "analysis_id": None,
            },
        ],
    },
    "FoundImages": {"items": [_listed_image], "not_found": [_OTHER_IMAGE_ID]},
    "MetadataSchema": {
        "team_id": _TEAM_ID,
        "fields": [{"name": "age", "type": "integer", "min": 0, "max": 130, "pii": True}],
        "updated_at": _TIME,
    },
    "Facet": {
        "field": "country_of_origin",
        "values": [{"value": "NO", "count": 17}, {"value": "SE", "count": 5}],
        "numbers": None,
        "images": 25,
        "without_value": 3,
        "complete": True,
    },
    "SimilarImages": {
        "model": "descriptor-1",
        "items": [{"image": _summary, "distance": 0.004, "similarity": 0.996}],
    },
    "DuplicatePage": {"items": [_group], "next_cursor": None},
    "Decision": _decision,
    "DecisionPage": {"items": [_decision], "next_cursor": None},
    "DerivativeList": {"items": [_derivative]},
    "StoredAnalysis": _analysis,
    "Analysis": {**_analysis, "cached": False, "credits": {"spent": 1, "left": 999}},
    "AnalysisPage": {"items": [_analysis], "next_cursor": None},
    "AnalyzerList": {"items": [_analyzer]},
    "AuditEvent": _audit_event,
    "AuditEventPage": {"items": [_audit_event], "next_cursor": None},
    "Live": {"status": "ok"},
    "Ready": {"ready": True, "database": "ok", "schema_revision": "0004", "storage": "ok", "warnings": []},
    "Version": {"service": "image-api", "version": "1.0.0", "schema_revision": "0004"},
    "Problem": {
        "type": "/errors/image-not-found",
        "title": "The image does not exist",
        "status": 404,
        "detail": "The image does not exist.",
        "code": "image-not-found",
        "request_id": "5f0c6b1e2d3a4958b7c6d5e4f3a2b1c0",
    },
}
