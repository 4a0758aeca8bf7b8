"""The routes of the pages about webhooks."""

from image_api.console.pages.webhooks import deliveries, webhook, webhooks

WEBHOOK_ROUTERS = (webhooks.router, webhook.router, deliveries.router)
