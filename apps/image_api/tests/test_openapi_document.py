"""The OpenAPI document is fit for generators: names, scopes, servers, nothing unused."""

import json
import re

import pytest

from image_api.app import ROUTERS
from image_api.openapi_operations import api_routes, operation_id

from .conftest import Api
from .test_openapi import OPERATIONS, operation_of

OPERATION_IDS = """
analyzeImage changeCredential changeCredits changeImage changePassword changeTeam changeUser classifyImage
countMetadataValues createCredential createInvitation createTeam createUser decideDuplicate endSession
exportAuditEvents getAnalysis getCredential getCredits getCurrentSession getDerivative getErrorPage getImage
getImageContent getLiveness getMetadataSchema getMetrics getReadiness getStorageUsage getTeam getUser getVersion
importImage issuePasswordReset listAnalyses listAnalyzers listAuditEvents listCredentials listCreditEntries
listDerivatives listDuplicateDecisions listDuplicates listImages listInvitations listSessions listSimilarImages
listTeams listUsers putMetadataSchema refillCredits refreshAccessToken register removeMetadataSchema removeTeam
removeUser reportKey resetPassword restoreImage revokeCredential revokeInvitation rotateKey rotateKeyOfUser signIn
signOut trashImage undoDuplicateDecision uploadImage uploadImageShort whoAmI
"""


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
        alone = "{user_id}/credentials" in path
        assert {tuple(each) for each in named} == ({("keys:self",), ("admin",)} if alone else {tuple(scopes)})
