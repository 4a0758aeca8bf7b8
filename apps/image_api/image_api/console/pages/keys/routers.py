"""The routes of the pages about API keys and delivery keys."""

from image_api.console.pages.keys import delivery_keys, key, keys

KEY_ROUTERS = (keys.router, key.router, delivery_keys.router)
