"""The OpenAPI document is fit for generators: names, scopes, servers, nothing unused."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

from image_api.app import ROUTERS
from image_api.openapi.descriptions import PARAMETERS, PROPERTIES, SPECIAL, WHEN_NULL
from image_api.openapi.operations import SUMMARIES, api_routes, operation_id
from image_api.openapi.schemas import is_nullable
from image_core.analyses.catalogue import CATALOGUE
from image_core.testing import UserWithKey
from image_engine.contract.answers import PictureFacts
from image_engine.picture.camera_fields import READERS

from ..conftest import Api
from ..pictures import picture
from .test_openapi import OPERATIONS, operation_of

OPERATION_IDS = """
addCollectionImages addImportSource analyzeImage beginExport beginImport cancelOperation cancelUpload changeCollection
changeCredential changeCredits changeImage changeImages changePassword changeSavedSearch changeShareLink changeTeam
changeUser changeWebhook checkHashes classifyImage countMetadataValues createCollection createCredential
createDeliveryKey createInvitation createSavedSearch createShareLink createTeam createUploadToken createUser
createWebhook decideDuplicate discardDeadLetter endSession exportAuditEvents findUsers getAnalysis getAuditChain
getCollection getCredential getCredits getCurrentSession getDeliveryKey getDerivative getErrorPage getExportManifest
getImage getImageContent getImages getLimits getLiveness getMetadataSchema getMetrics getOperation getPreset
getReadiness getSavedSearch getShareLink getStorageUsage getSystemHealth getTeam getTimeline getTimelineMonth getUpload
getUsage getUser getVersion getWebhook getWebhookDelivery importImage issuePasswordReset listAnalyses listAnalyzers
listAuditEvents listChanges listCollectionImages listCollections listCredentials listCreditEntries listDeadLetters
listDeliveryKeys listDerivatives listDuplicateDecisions listDuplicates listImages listImportReport listImportSources
listInvitations listOperationFailures listOperations listPresets listSavedSearches listSessions listShareLinks
listSimilarImages listTeams listUsers listWebhookDeliveries listWebhooks openUpload orderCollectionImages
previewTransforms putMetadataSchema putPreset reconcileOriginals redriveDeadLetter refillCredits refreshAccessToken
register removeCollection removeCollectionImages removeImportSource removeMetadataSchema removePreset removeSavedSearch
removeShareLink removeTeam removeUser removeWebhook replayWebhookDelivery replayWebhookEvents reportKey reprocessFailed
reprocessImage resetPassword resignAddresses restoreImage retireDeliveryKey revokeAddresses revokeCredential
revokeInvitation rotateDeliveryKey rotateKey rotateKeyOfUser rotateShareLink rotateWebhookSecret sendWebhookTest
signAddresses signIn signOut streamEvents trashImage undoDuplicateDecision uploadImage uploadImageShort whoAmI
"""

KEEPING_KEYS = (
    "createCredential listCredentials getCredential changeCredential revokeCredential rotateKey rotateKeyOfUser"
)
ALTERNATIVES = {name: [("admin",)] for name in KEEPING_KEYS.split()} | {
    # One's own uploads.
    "trashImage": [("images:write",)],
    "restoreImage": [("images:write",)],
    # The action decides.
    "cancelOperation": [("images:delete",), ("analyses:run",), ("delivery:manage",), ("images:read",)],
    "changeImages": [("images:delete",), ("analyses:run",), ("delivery:manage",)],
}


def test_operations_have_the_names_that_generators_were_given_before() -> None:
    found = {
        (method, path): f"{route.operation_id or operation_id(route)}"
        for path, route in api_routes(ROUTERS)
        if route.include_in_schema
        for method in route.methods or ()
    }
    assert len(set(found.values())) == len(found)
    assert sorted(found.values()) == sorted(OPERATION_IDS.split())
    assert found["GET", "/api/v1/images"] == "listImages"
    assert found["POST", "/api/v1/teams"] == "createTeam"


def test_the_document_names_where_it_is_served_and_explains_its_tags(api: Api) -> None:
    document = api.truth.document
    assert document["servers"]
    used = {tag for item in document["paths"].values() for operation in item.values() for tag in operation["tags"]}
    assert used == {tag["name"] for tag in document["tags"] if tag["description"]}


def test_every_schema_is_used(api: Api) -> None:
    document = api.truth.document
    used = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document)))
    assert used == document["components"]["schemas"].keys()


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_says_who_may_call_it(api: Api, method: str, path: str) -> None:
    operation = operation_of(api, method, path)
    scopes = operation.get("x-required-scopes")
    if scopes is None:
        assert operation["security"] == []
    else:
        named = [scopes_named for each in operation["security"] for scopes_named in each.values()]
        assert named[0] == scopes
        assert {tuple(each) for each in named} == {tuple(scopes), *ALTERNATIVES.get(operation["operationId"], ())}


@pytest.mark.parametrize("media_type", ["application/json", "application/merge-patch+json"])
async def test_a_change_is_taken_as_json_and_as_a_merge_patch(api: Api, media_type: str) -> None:
    changing = [path for method, path in OPERATIONS if method == "PATCH"]
    for path in changing:
        assert media_type in operation_of(api, "PATCH", path)["requestBody"]["content"]
    team_id = await api.team()
    answer = await api.client.patch(
        f"/api/v1/teams/{team_id}",
        content=b'{"name": "North"}',
        headers={**api.admin.headers, "content-type": media_type},
    )
    assert (answer.status_code, answer.json()["name"]) == (200, "North")


async def test_answers_carry_the_headers_that_are_declared(api: Api, member: UserWithKey) -> None:
    # The client compares each answer with the document; here are those that tests elsewhere may do without.
    uploaded = await api.client.post(
        "/api/v1/images", content=picture(3), headers={**member.headers, "content-type": "image/png"}
    )
    assert {"location", "etag", "ratelimit", "ratelimit-policy", "x-request-id"} <= uploaded.headers.keys()
    assert (await api.client.get(uploaded.headers["location"], headers=member.headers)).status_code == 200
    content = f"{uploaded.headers['location']}/content"
    part = await api.client.get(content, headers={**member.headers, "range": "bytes=0-3"})
    assert (part.status_code, part.headers["content-range"][:10]) == (206, "bytes 0-3/")
    beyond = await api.client.get(content, headers={**member.headers, "range": "bytes=999999999-"})
    assert (beyond.status_code, beyond.headers["content-range"][:8]) == (416, "bytes */")
    assert (await api.client.get(content)).headers["www-authenticate"]


def test_facts_are_the_ones_that_the_processor_finds(api: Api) -> None:
    schemas = api.truth.document["components"]["schemas"]
    assert schemas["PictureFacts"]["properties"].keys() == {field.name for field in fields(PictureFacts)}
    assert schemas["CameraFacts"]["properties"].keys() == {*READERS, "taken_at", "gps_time"}


def test_results_are_the_ones_of_the_catalogue(api: Api) -> None:
    schemas = api.truth.document["components"]["schemas"]
    named = {each["$ref"].rpartition("/")[2] for each in schemas["Analysis"]["properties"]["result"]["anyOf"][:-1]}
    assert named == {spec.result.__name__ for spec in CATALOGUE.values()}


def described_parts(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of the document that is read by people, by a name that finds it."""
    components = document["components"]
    yield "info", document["info"]
    for tag in document["tags"]:
        yield f"tag {tag['name']}", tag
    for kind in ("headers", "schemas", "securitySchemes"):
        for name, part in components[kind].items():
            yield f"{kind} {name}", part
    for name, field, described in properties_of(document):
        yield f"{name}.{field}", described
    for operation in operations_of(document):
        name = operation["operationId"]
        yield name, operation
        for parameter in operation.get("parameters", ()):
            yield f"{name} parameter {parameter['name']}", parameter
        for status, response in operation["responses"].items():
            yield f"{name} response {status}", response


def operations_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for item in document["paths"].values() for operation in item.values()]


def test_every_part_is_described_in_sentences(api: Api) -> None:
    described = {name: part.get("description") or "" for name, part in described_parts(api.truth.document)}
    assert [name for name, text in described.items() if not re.match(r"[A-Z0-9`−].*\.$", text, re.DOTALL)] == []


def test_every_operation_has_a_summary_of_its_own(api: Api) -> None:
    summaries = {each["operationId"]: each["summary"] for each in operations_of(api.truth.document)}
    assert summaries == SUMMARIES
    assert len(set(summaries.values())) == len(summaries)


def test_descriptions_say_what_null_means_exactly_where_a_value_can_be_null(api: Api) -> None:
    properties = properties_of(api.truth.document)
    wrong = [
        f"{name}.{field}"
        for name, field, described in properties
        if is_nullable(described) != bool(re.search(r"\bnull\b", described["description"], re.IGNORECASE))
    ]
    assert wrong == []


def properties_of(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every property of every schema, those of forms included."""
    schemas = dict(document["components"]["schemas"])
    for path, item in document["paths"].items():
        for operation in item.values():
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                schemas[f"{path} {media_type}"] = content["schema"]
    for name, schema in schemas.items():
        for field, described in schema.get("properties", {}).items():
            yield name, field, described


def test_no_description_is_left_over(api: Api) -> None:
    document = api.truth.document
    properties = list(properties_of(document))
    assert {*SPECIAL.items()} <= {(f"{name}.{field}", each["description"]) for name, field, each in properties}
    shown = {(field, each["description"]) for _, field, each in properties}
    assert {(field, f"{PROPERTIES[field]} {text}") for field, text in WHEN_NULL.items()} <= shown
    beginnings = {(field, text[: len(PROPERTIES.get(field, ""))]) for field, text in shown}
    assert {*PROPERTIES.items()} <= beginnings
    parameters = {
        (one["name"], one["description"]) for each in operations_of(document) for one in each.get("parameters", ())
    }
    assert {*PARAMETERS.items()} <= parameters


def test_bounds_are_named_as_json_schema_names_them(api: Api) -> None:
    written = json.dumps(api.truth.document)
    assert re.findall(r'"(ge|gt|le|lt|multiple_of)": -?\d', written) == []
    limits = [one for one in operation_of(api, "GET", "/api/v1/teams")["parameters"] if one["name"] == "limit"]
    assert (limits[0]["schema"]["minimum"], limits[0]["schema"]["maximum"]) == (1, 200)
