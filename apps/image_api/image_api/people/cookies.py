"""The cookie of a session, as it is set and removed."""

from fastapi import Response

from image_api.settings import ApiSettings


def set_session_cookie(response: Response, settings: ApiSettings, value: str) -> None:
    """Set the session's cookie; an empty value removes it."""
    response.set_cookie(
        settings.session_cookie_name,
        value,
        max_age=settings.session_hours * 3600 if value else 0,
        secure=settings.cookies_are_secure,
        httponly=True,
        samesite="strict",
    )
