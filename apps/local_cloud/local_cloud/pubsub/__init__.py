"""Topics, subscriptions and push delivery as Pub/Sub does them, kept on disk until they are acknowledged."""
