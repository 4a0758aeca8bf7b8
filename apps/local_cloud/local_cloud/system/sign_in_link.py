"""A link that signs in to the console once."""

import httpx2


def sign_in_link(url: str, api_key: str | None) -> str | None:
    """Return a new link for the owner of a key; None if the API does not accept the key or does not answer."""
    if api_key is None:
        return None
    try:
        answer = httpx2.post(f"{url}/console/sign-in/links", headers={"X-API-KEY": api_key}, trust_env=False, timeout=5)
        return str(answer.raise_for_status().json()["url"])
    except httpx2.HTTPError:
        return None
