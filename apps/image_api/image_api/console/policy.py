"""The headers of everything below `/console`, and which paths these are."""

from image_api.settings import ApiSettings
from image_api.web_pages.content_security import SELF, content_security_policy

HOME = "/console"
_CLOUD_STORAGE = "https://storage.googleapis.com"


def is_console(path: str) -> bool:
    """Return whether a path belongs to the console."""
    return path in (HOME, "/admin") or path.startswith(f"{HOME}/")


def console_policy(settings: ApiSettings) -> str:
    """Return the Content-Security-Policy of pages, which show delivered pictures and upload to storage."""
    delivery = (f"{settings.delivery_base_url}/",) if settings.delivery_base_url else ()
    storage = (settings.storage_emulator_host or _CLOUD_STORAGE).rstrip("/")
    uploads = f"{storage}/upload/storage/v1/b/{settings.image_upload_bucket_name}/o"
    return content_security_policy(
        script_src=(SELF,),
        style_src=(SELF,),
        img_src=(SELF, *delivery, "data:", "blob:"),
        connect_src=(SELF, *delivery, uploads),
        form_action=(SELF,),
        require_trusted_types_for=("'script'",),
        trusted_types=("console-worker",),
    )


def page_headers(settings: ApiSettings) -> list[tuple[bytes, bytes]]:
    """Return the headers of every response below `/console`, redirects and errors included."""
    return [
        (b"cache-control", b"no-store"),
        (b"content-security-policy", console_policy(settings).encode()),
        (b"cross-origin-opener-policy", b"same-origin"),
        # With `no-referrer`, forms would send `Origin: null`.
        (b"referrer-policy", b"same-origin"),
    ]
