"""The feed: what happened, as it is told to others."""
