"""Messages that no attempt could deliver: stored when Pub/Sub gives them up, and sent again or discarded by admins."""
