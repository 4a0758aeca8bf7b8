"""What the OpenAPI document adds to routes: operation ids, summaries, tags and required scopes."""

from collections.abc import Iterator, Mapping, Sequence

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from image_api.auth import RequireScope, RequireSession, RequireUploader, authenticate

# Function names are unique within their module, operation ids across all of them.
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
    "reconcile": "reconcileOriginals",
    "refill": "refillCredits",
    "refresh": "refreshAccessToken",
    "rotate": "rotateKey",
    "show_session": "getCurrentSession",
    "undo": "undoDuplicateDecision",
    "list_decisions": "listDuplicateDecisions",
    "upload": "uploadImage",
    "version": "getVersion",
}
SUMMARIES = {
    "getLimits": "Get limits and quotas",
    "getUsage": "Get usage by day",
    "changeSavedSearch": "Change a saved search",
    "getSavedSearch": "Get a saved search",
    "listSavedSearches": "List the saved searches of a team",
    "removeSavedSearch": "Remove a saved search",
    "createSavedSearch": "Save a search",
    "beginExport": "Export many images",
    "beginImport": "Import many images",
    "getExportManifest": "List the images of an export with their addresses",
    "listImportReport": "List what became of an import",
    "reconcileOriginals": "Compare images with their originals",
    "addImportSource": "Grant a bucket to a team as an import source",
    "listImportSources": "List import sources",
    "removeImportSource": "Remove an import source",
    "changeWebhook": "Change a webhook",
    "createWebhook": "Create a webhook",
    "getWebhook": "Get a webhook",
    "getWebhookDelivery": "Get a delivery with its attempts",
    "listWebhookDeliveries": "List the deliveries to a webhook",
    "listWebhooks": "List the webhooks of a team",
    "removeWebhook": "Delete a webhook",
    "replayWebhookDelivery": "Send a delivery again",
    "replayWebhookEvents": "Send events to a webhook again",
    "rotateWebhookSecret": "Replace the secret of a webhook",
    "sendWebhookTest": "Send a test to a webhook",
    "changeShareLink": "Change a share link",
    "createShareLink": "Create a share link",
    "getShareLink": "Get a share link",
    "listShareLinks": "List the share links of a team",
    "removeShareLink": "Delete a share link",
    "rotateShareLink": "Give a share link a new address",
    "cancelOperation": "Cancel an operation",
    "getOperation": "Get an operation",
    "listOperationFailures": "List the items of an operation that failed",
    "listOperations": "List operations",
    "addCollectionImages": "Add images to a collection",
    "changeCollection": "Change a collection",
    "createCollection": "Create a collection",
    "getCollection": "Get a collection",
    "listCollectionImages": "List the images of a collection",
    "listCollections": "List the collections of a team",
    "orderCollectionImages": "Sort images of a collection",
    "removeCollection": "Remove a collection",
    "removeCollectionImages": "Remove images from a collection",
    "analyzeImage": "Analyze an image",
    "changeCredential": "Change a credential",
    "changeCredits": "Change scheduled refills of a team",
    "changeImage": "Change an image",
    "changeImages": "Do one thing with many images",
    "changePassword": "Change your password",
    "changeTeam": "Change a team",
    "changeUser": "Change a user",
    "classifyImage": "Classify a file, a URL or an image",
    "cancelUpload": "Cancel a direct upload",
    "checkHashes": "Check which files a team has",
    "countMetadataValues": "Count values of a metadata field",
    "createCredential": "Create a credential",
    "createDeliveryKey": "Create a delivery key",
    "createInvitation": "Invite a person into a team",
    "createTeam": "Create a team",
    "createUploadToken": "Create an upload token",
    "createUser": "Create a user",
    "discardDeadLetter": "Discard a dead letter",
    "listDeadLetters": "List dead letters",
    "reprocessFailed": "Process failed images again",
    "redriveDeadLetter": "Publish a dead letter again",
    "decideDuplicate": "Mark two images as not duplicates",
    "endSession": "End a session",
    "exportAuditEvents": "Export audit events",
    "getAuditChain": "Get the state of the audit log",
    "findUsers": "Find users of all teams",
    "getAnalysis": "Get an analysis",
    "getCredential": "Get a credential",
    "getCredits": "Get a team's credits",
    "getCurrentSession": "Get the current session",
    "getDeliveryKey": "Get a delivery key",
    "getDerivative": "Download a derivative",
    "getErrorPage": "Read about an error code",
    "getImage": "Get an image",
    "getImages": "Get many images",
    "getImageContent": "Download an original",
    "getLiveness": "Check liveness",
    "getMetadataSchema": "Get a metadata schema",
    "getMetrics": "Get metrics",
    "getReadiness": "Check readiness",
    "getPreset": "Get a preset",
    "getStorageUsage": "Get storage usage",
    "getSystemHealth": "Check the parts of the system",
    "getTeam": "Get a team",
    "getUpload": "Get a direct upload",
    "getUser": "Get a user",
    "getTimeline": "Count images by month",
    "getTimelineMonth": "List images of a month",
    "getVersion": "Get the version",
    "importImage": "Import an image from a URL",
    "issuePasswordReset": "Issue a password reset",
    "listAnalyses": "List analyses of an image",
    "listAnalyzers": "List analyzers",
    "listAuditEvents": "List audit events",
    "listCredentials": "List credentials of a user",
    "listCreditEntries": "List the credit ledger",
    "listDeliveryKeys": "List the delivery keys of a team",
    "listDerivatives": "List derivatives of an image",
    "listDuplicateDecisions": "List duplicate decisions",
    "listDuplicates": "List near-duplicates",
    "listChanges": "List changes",
    "listImages": "List images",
    "listInvitations": "List invitations of a team",
    "listPresets": "List the presets of a team",
    "listSessions": "List your sessions",
    "listSimilarImages": "List similar images",
    "listTeams": "List teams",
    "listUsers": "List users of a team",
    "putMetadataSchema": "Set a metadata schema",
    "putPreset": "Create or replace a preset",
    "refillCredits": "Change a credit balance",
    "refreshAccessToken": "Refresh an access token",
    "register": "Register",
    "removeMetadataSchema": "Remove a metadata schema",
    "removePreset": "Remove a preset",
    "removeTeam": "Remove a team",
    "removeUser": "Remove a user",
    "reportKey": "Report a leaked API key",
    "reprocessImage": "Process an image again",
    "resetPassword": "Reset a password",
    "restoreImage": "Restore an image from the trash",
    "openUpload": "Open a direct upload",
    "previewTransforms": "Preview transforms of an image",
    "resignAddresses": "Renew delivery addresses",
    "retireDeliveryKey": "Retire a delivery key",
    "revokeAddresses": "Revoke the delivery addresses of an image",
    "revokeCredential": "Revoke a credential",
    "revokeInvitation": "Revoke an invitation",
    "rotateDeliveryKey": "Rotate a delivery key",
    "rotateKey": "Rotate an API key",
    "rotateKeyOfUser": "Rotate an API key (plural path)",
    "signAddresses": "Sign delivery addresses",
    "signIn": "Sign in",
    "signOut": "Sign out",
    "streamEvents": "Stream events",
    "trashImage": "Move an image to the trash",
    "undoDuplicateDecision": "Undo a duplicate decision",
    "uploadImage": "Upload an image",
    "uploadImageShort": "Upload an image (short path)",
    "whoAmI": "Get the caller",
}
TAGS = {
    "uploads": "Upload files directly to storage, whole or in pieces.",
    "images": "Upload, import, find, change, download and delete images.",
    "operations": "Work that takes long: progress, failures, cancelling.",
    "changes": "What happened, in an order that skips nothing: read it, wait for it, or let it stream.",
    "collections": "Images that people put together, in an order of their own.",
    "analyses": "Results that analyzers compute from images.",
    "duplicates": "Near-duplicate images, and decisions about them.",
    "metadata": "Metadata fields that a team declares for its images.",
    "teams": "Teams and their settings.",
    "users": "Users of teams, and the caller itself.",
    "people": "Signing in, sessions, invitations and passwords.",
    "credentials": "API keys: create, change, rotate and revoke them.",
    "webhooks": "Webhooks: endpoints that are told of events, what was sent to them, tests and replays.",
    "delivery": "Delivery addresses for pages: signing, the keys that sign, presets, and share links.",
    "credits": "Credits of a team: balance, ledger and refills.",
    "usage": "What a team uses, and how much it may.",
    "admin": "Care of the whole system, by admins of the platform.",
    "audit": "Audit log of all changes.",
    "service": "State of the service. These operations need no authentication.",
}


def operation_id(route: APIRoute) -> str:
    """Return an operation id for generators: stable, unique, and starting with a verb."""
    first, *rest = route.name.split("_")
    return _NAMES.get(route.name) or first + "".join(word.capitalize() for word in rest)


def api_routes(routers: Mapping[str, Sequence[APIRouter]]) -> Iterator[tuple[str, APIRoute]]:
    """Return every route with its full path."""
    for prefix, included in routers.items():
        for router in included:
            for route in router.routes:
                if isinstance(route, APIRoute):
                    yield prefix + route.path, route


def scope_alternatives(route: APIRoute) -> list[list[str]] | None:
    """Return the sets of scopes that each grant access, the general one first; None if no key is needed."""
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
    """Return the scopes that a route generally requires; None for a route that needs no key."""
    alternatives = scope_alternatives(route)
    return None if alternatives is None else alternatives[0]


def takes_upload_token(route: APIRoute) -> bool:
    """Return whether a route takes an upload token instead of other credentials."""
    return any(isinstance(dependant.call, RequireUploader) for dependant in route.dependant.dependencies)


def needs_session(route: APIRoute) -> bool:
    """Return whether a route requires a signed-in user and takes no key."""
    return any(isinstance(dependant.call, RequireSession) for dependant in route.dependant.dependencies)
