"""The prefix of the API's paths."""

API_PREFIX = "/api/v1"
