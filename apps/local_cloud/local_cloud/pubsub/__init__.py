"""Topics, subscriptions and push delivery as in Pub/Sub, stored on disk until acknowledged."""
