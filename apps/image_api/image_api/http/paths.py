"""Where the API begins."""

API_PREFIX = "/api/v1"
