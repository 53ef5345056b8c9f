"""Does every route of the API take the tokens that AzureTRE's tables say (2.3 to 2.10)?

Each line: methods, path below /api, and the audience: `core`, `workspace`, or `either` (the
workspace's, or core for TRE administrators). `+`: a core token's holder reads there by membership.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from carrel.app import build, make_web
from carrel.core.settings import load
from carrel.core.web import audience_of
from carrel.runtime.memory import MemoryRuntime

W = "/workspaces/{workspace_id}"
S = W + "/workspace-services/{service_id}"
U = S + "/user-resources/{resource_id}"
SHARED = "/shared-services/{shared_service_id}"
AZURETRE = f"""
GET         /workspace-templates                                                    core
GET         /workspace-templates/{{name}}                                           core
GET         /workspace-service-templates                                            core
GET         /workspace-service-templates/{{name}}                                   core
GET         /workspace-service-templates/{{service}}/user-resource-templates        core
GET         /workspace-service-templates/{{service}}/user-resource-templates/{{name}} core
GET         /shared-service-templates                                               core
GET         /shared-service-templates/{{name}}                                      core
GET         {W}/workspace-service-templates                                         either
GET         {W}/workspace-service-templates/{{service}}/user-resource-templates     either
GET         /workspaces                                                             core+
POST        /workspaces                                                             core
GET         {W}                                                                     either+
PATCH       {W}                                                                     core
DELETE      {W}                                                                     core
GET         {W}/scopeid                                                             core+
POST        {W}/invoke-action                                                       core
GET         {W}/operations                                                          either
GET         {W}/operations/{{operation_id}}                                         either
GET         {W}/history                                                             either
GET         {W}/users                                                               either
GET         {W}/assignable-users                                                    either
GET         {W}/roles                                                               either
POST        {W}/users/assign                                                        either
DELETE      {W}/users/assign                                                        either
GET         {W}/workspace-services                                                  workspace
POST        {W}/workspace-services                                                  workspace
GET         {S}                                                                     workspace
PATCH       {S}                                                                     workspace
DELETE      {S}                                                                     workspace
POST        {S}/invoke-action                                                       workspace
GET         {S}/operations                                                          workspace
GET         {S}/operations/{{operation_id}}                                         workspace
GET         {S}/history                                                             workspace
GET         {S}/user-resources                                                      workspace
POST        {S}/user-resources                                                      workspace
GET         {U}                                                                     workspace
PATCH       {U}                                                                     workspace
DELETE      {U}                                                                     workspace
POST        {U}/invoke-action                                                       workspace
GET         {U}/operations                                                          workspace
GET         {U}/operations/{{operation_id}}                                         workspace
GET         {U}/history                                                             workspace
GET         /shared-services                                                        core
POST        /shared-services                                                        core
GET         {SHARED}                                                                core
PATCH       {SHARED}                                                                core
DELETE      {SHARED}                                                                core
POST        {SHARED}/invoke-action                                                  core
GET         {SHARED}/operations                                                     core
GET         {SHARED}/operations/{{operation_id}}                                    core
GET         {SHARED}/history                                                        core
GET         /operations                                                             core+
GET         /requests                                                               core+
GET         /costs                                                                  core
GET         {W}/costs                                                               either
GET         {W}/requests                                                            workspace
POST        {W}/requests                                                            workspace
GET         {W}/requests/{{request_id}}                                             workspace
GET         {W}/requests/{{request_id}}/link                                        workspace
POST        {W}/requests/{{request_id}}/submit                                      workspace
POST        {W}/requests/{{request_id}}/cancel                                      workspace
POST        {W}/requests/{{request_id}}/review                                      workspace
POST        {W}/requests/{{request_id}}/revoke                                      workspace
POST        {W}/requests/{{request_id}}/review-user-resource                        workspace
"""
"""AzureTRE's routes. (Its POSTs of templates are added by the room that has them.)"""
CARREL = f"""
GET         {W}/audit                                                               either
GET         {W}/usage                                                               either
GET         {W}/packages                                                            either
GET         {W}/egress                                                              either
GET         /operations/{{operation_id}}                                            core+
GET         /operations/{{operation_id}}/events                                     core+
POST        {W}/operations/{{operation_id}}/cancel                                  core
POST        {W}/operations/{{operation_id}}/retry                                   core
GET         /operations/events                                                      core+
GET         {W}/catalogue                                                           either
PUT         {W}/catalogue                                                           core
GET         {W}/operations/{{operation_id}}/events                                  either
GET         /me                                                                     core+
"""
"""Carrel's own routes that do not take the usual audience: `workspace` below one, else `core`."""


def table(text: str) -> dict[tuple[str, str], str]:
    lines = (line.split() for line in text.strip().splitlines())
    return {(method, path): audience for method, path, audience in lines}


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], str]]:
    """Every route below /api with the audience it takes."""
    home: Path = tmp_path_factory.mktemp("tre")
    carrel = build(load(home), runtime=MemoryRuntime())
    found = {}
    for line in make_web(carrel).state.table.lines:
        if line.path.startswith("/api/"):
            mark = audience_of(line.endpoint, line.path)
            said = mark.audience.value + ("+" if mark.with_memberships else "")
            for method in line.methods - {"HEAD"}:
                found[method, line.path.removeprefix("/api")] = said
    yield found
    carrel.database.close()


def test_azuretres_routes_take_the_tokens_they_take_there(routes):
    wanted = table(AZURETRE)
    assert {key: routes.get(key) for key in wanted} == wanted


def test_every_other_route_takes_the_usual_audience_or_is_named_here(routes):
    known = table(AZURETRE) | table(CARREL)
    for (method, path), said in routes.items():
        usual = "workspace" if path.startswith(f"{W}/") else "core"
        assert said == known.get((method, path), usual), (method, path)


def test_no_line_is_about_a_route_that_is_gone(routes):
    assert set(table(CARREL)) <= set(routes)
