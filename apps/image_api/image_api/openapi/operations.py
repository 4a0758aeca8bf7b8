"""What the OpenAPI document says of operations beyond their routes: names, tags, and who may call them."""

from collections.abc import Iterator, Mapping, Sequence

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from image_api.auth import RequireScope, RequireSession, authenticate

# Functions are named within their module, operations across all of them.
_NAMES = {
    "analyze": "analyzeImage",
    "classify": "classifyImage",
    "count_values": "countMetadataValues",
    "decide": "decideDuplicate",
    "error_page": "getErrorPage",
    "get_content": "getImageContent",
    "invite": "createInvitation",
    "issue_reset": "issuePasswordReset",
    "list_entries": "listCreditEntries",
    "list_similar": "listSimilarImages",
    "live": "getLiveness",
    "login": "signIn",
    "logout": "signOut",
    "metrics": "getMetrics",
    "ready": "getReadiness",
    "refill": "refillCredits",
    "refresh": "refreshAccessToken",
    "rotate": "rotateKey",
    "show_session": "getCurrentSession",
    "undo": "undoDuplicateDecision",
    "list_decisions": "listDuplicateDecisions",
    "upload": "uploadImage",
    "version": "getVersion",
}
TAGS = {
    "images": "Upload, import, find, change, download and trash images.",
    "analyses": "What analyzers and models find in images.",
    "duplicates": "Groups of near-duplicates, and decisions on them.",
    "metadata": "The fields that a team declares for its metadata.",
    "teams": "Teams and their settings.",
    "users": "Users of teams, and who the caller is.",
    "people": "Sign-in, sessions, invitations and passwords.",
    "credentials": "API keys: creation, rotation, revocation.",
    "credits": "What a team may spend, and what it has spent.",
    "usage": "What a team stores.",
    "audit": "Who did what.",
    "service": "State of the service itself, open to everybody.",
}


def operation_id(route: APIRoute) -> str:
    """Name an operation for generators: stable, unique, and a verb first."""
    first, *rest = route.name.split("_")
    return _NAMES.get(route.name) or first + "".join(word.capitalize() for word in rest)


def api_routes(routers: Mapping[str, Sequence[APIRouter]]) -> Iterator[tuple[str, APIRoute]]:
    """Every route with its whole path."""
    for prefix, included in routers.items():
        for router in included:
            for route in router.routes:
                if isinstance(route, APIRoute):
                    yield prefix + route.path, route


def scope_alternatives(route: APIRoute) -> list[list[str]] | None:
    """The sets of scopes that each open a route, the one for everybody first; None where no key is needed."""
    found: list[list[str]] | None = None
    pending: list[Dependant] = [route.dependant]
    while pending:
        dependant = pending.pop()
        pending.extend(dependant.dependencies)
        if isinstance(dependant.call, RequireScope):
            found = [sorted(scopes) for scopes in dependant.call.alternatives]
        elif dependant.call is authenticate and found is None:
            found = [[]]
    return found


def scopes_of(route: APIRoute) -> list[str] | None:
    """The scopes that a route asks everybody for; None for a route that needs no key."""
    alternatives = scope_alternatives(route)
    return None if alternatives is None else alternatives[0]


def needs_session(route: APIRoute) -> bool:
    """Whether a route takes somebody who has signed in, and no key."""
    return any(isinstance(dependant.call, RequireSession) for dependant in route.dependant.dependencies)
