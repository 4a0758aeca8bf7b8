"""The body of a push request. Source: Pub/Sub documentation, "Receive push messages"."""

from pydantic import BaseModel, ConfigDict, Field


class PushMessage(BaseModel):
    """The message inside an envelope; its `data` is base64."""

    model_config = ConfigDict(extra="ignore")

    data: str = ""
    attributes: dict[str, str] = Field(default_factory=dict)
    message_id: str = Field("", alias="messageId")
    publish_time: str = Field("", alias="publishTime")


class PushEnvelope(BaseModel):
    """The body of a push request."""

    model_config = ConfigDict(extra="ignore")

    message: PushMessage
    subscription: str = ""
    delivery_attempt: int | None = Field(None, alias="deliveryAttempt")
