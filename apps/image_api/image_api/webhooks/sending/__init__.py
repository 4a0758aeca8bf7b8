"""Sends events to webhooks: from the feed to deliveries, and from deliveries to attempts. Run by `image-tasks`."""
