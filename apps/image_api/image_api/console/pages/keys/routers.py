"""The routes of the pages about API keys and delivery keys."""

from image_api.console.pages.keys import delivery_keys, key, keys, upload_tokens

KEY_ROUTERS = (keys.router, key.router, delivery_keys.router, upload_tokens.router)
