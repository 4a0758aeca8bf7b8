"""Prefixes of paths."""

API_PREFIX = "/api/v1"
STATIC_PREFIX = "/static"
"""Of the style sheets and scripts of pages."""
SHARE_PREFIX = "/s"
"""Of the pages of share links."""
