"""Webhooks and their deliveries."""

from image_core.errors.kinds import Conflict, LimitExceeded, NotFound


class WebhookNotFound(NotFound):
    """The webhook does not exist."""

    code = "webhook-not-found"


class WebhookDeliveryNotFound(NotFound):
    """The delivery does not exist."""

    code = "webhook-delivery-not-found"


class WebhooksNotConfigured(NotFound):
    """This deployment sends no webhooks."""

    code = "webhooks-not-configured"


class WebhookDisabled(Conflict):
    """The webhook is disabled."""

    code = "webhook-disabled"


class TooManyWebhooks(Conflict):
    """The team has too many webhooks."""

    code = "too-many-webhooks"


class ReplayInProgress(Conflict):
    """Another replay of this webhook is being prepared."""

    code = "replay-in-progress"


class TooManyWebhookCalls(LimitExceeded):
    """Too many tests and replays."""

    code = "too-many-webhook-calls"
