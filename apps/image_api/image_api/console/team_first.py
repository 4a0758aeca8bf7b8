"""What a list that belongs to one team shows an admin who has chosen none."""

from uuid import UUID

from fastapi import Request, Response

from image_api.actor import Actor
from image_api.console.frame import render


def lacks_team(actor: Actor, team_id: UUID | None) -> bool:
    """Return whether the caller sees all teams and names none."""
    return actor.visible_team_id is None and team_id is None


def ask_for_team(request: Request, title: str, purpose: str | None = None) -> Response:
    """Return the page that leads to the choice of a team; `purpose` says what the team is for if not for a list."""
    which = purpose or f"whose {title.lower()} you want to see"
    return render(request, "team_first.html", {"title": title, "which": which})
