"""What the pages about one image share."""

from typing import Any, NamedTuple
from uuid import UUID

from fastapi import Request, Response

from image_api.actor import Actor, Scope
from image_api.console.frame import Refusal, render
from image_api.console.pages.images.sheets import IMAGES
from image_api.console.pictures import name_of
from image_api.images import service as images
from image_core.db import Record, Runner


class Step(NamedTuple):
    """A page that changes an image, with the image as it was before."""

    request: Request
    row: Record
    team_id: UUID | None

    @property
    def path(self) -> str:
        """The path of the image's page."""
        return f"{IMAGES}/{self.row['id']}"

    def page(self, template: str, refusal: Refusal | None = None, **more: Any) -> Response:
        """Return the page, with what was refused."""
        values = {"image": self.row, "name": name_of(self.row), "path_of": self.path, "refusal": refusal, **more}
        return render(self.request, template, values, team_id=self.team_id)


async def find_step(runner: Runner, actor: Actor, request: Request, image_id: UUID, team_id: UUID | None) -> Step:
    """Return what the pages of an image show.

    Raises:
        errors.ImageNotFound: There is none, or it is another team's.
    """
    return Step(request, await images.get_image(runner, actor, image_id), team_id)


def actions_of(actor: Actor, row: Record) -> dict[str, bool]:
    """Return what the caller may do with an image, for the buttons of its page."""
    writes = Scope.IMAGES_WRITE in actor.scopes
    return {
        "may_edit": writes,
        "may_see_history": Scope.ADMIN in actor.scopes,
        "may_reprocess": writes and images.why_not_reprocessable(row) is None,
        "may_trash": may_trash(actor, row),
        "may_change_visibility": writes and Scope.DELIVERY_MANAGE in actor.scopes,
        "may_revoke": Scope.DELIVERY_MANAGE in actor.scopes and row["generation"] is not None,
    }


def may_trash(actor: Actor, row: Record) -> bool:
    """Return whether the caller may move an image to the trash and back: any with the scope, else its own uploads."""
    is_own = Scope.IMAGES_WRITE in actor.scopes and row["uploaded_by"] == actor.user_id
    return Scope.IMAGES_DELETE in actor.scopes or is_own
