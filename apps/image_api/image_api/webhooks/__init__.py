"""Webhooks: endpoints of teams that are told of events."""

STEP = "webhooks_sent"
"""The name of the step of `image-tasks` that sends, by which it is nudged."""
