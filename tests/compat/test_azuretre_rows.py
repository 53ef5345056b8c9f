"""Does every row of the reference's route tables hold: the roles, the codes, the audiences?

The rows are data (`azuretre.ROWS`); each is called by everybody, in one TRE on each database.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.azuretre import ROWS, Contract, Row
from tests.conftest import one_database

EVERYBODY = "AUORMX"


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)
def contract(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Contract]:
    folder: Path = tmp_path_factory.mktemp("contract")
    with one_database(request.param, folder) as database:
        made = Contract(database, folder)
        yield made
        made.close()


def ids(row: Row) -> str:
    return row.route


def answer_to(contract: Contract, row: Row, who: str):
    path = row.path(contract)
    more = {"json": row.body} if row.body is not None else {}
    headers, query = dict(row.headers), dict(row.query)
    return contract.call(who, row.method, path, params=query, headers=headers, **more)


@pytest.mark.parametrize("row", [row for row in ROWS if row.roles], ids=ids)
def test_who_may_is_answered_as_the_reference_says(contract, row):
    for who in EVERYBODY + "-" if row.roles == "*" else row.roles:
        answer = answer_to(contract, row, who)
        assert answer.status_code == row.status, (who, answer.text)


@pytest.mark.parametrize("row", [row for row in ROWS if row.roles not in {"", "*"}], ids=ids)
def test_who_may_not_is_refused(contract, row):
    """A token of the wrong audience is 401; of the right one, without the role, 403 or 404."""
    assert answer_to(contract, row, "-").status_code == 401
    takes = {"A": "AU", "U": "AU", "O": "ORM", "R": "ORM", "M": "ORM"}
    fitting = set("".join(takes[who] for who in row.roles))
    for who in set(EVERYBODY) - set(row.roles):
        answer = answer_to(contract, row, who)
        if who not in fitting:
            expected = {401}
        elif set(row.roles) > {"A"} and "{w}" in row.route and who == "U":
            expected = {401}  # only an administrator's core token is taken besides
        else:
            expected = {403, 404} - {row.status}
        assert answer.status_code in expected, (who, answer.text)
        if answer.status_code == 401:
            assert answer.json()["detail"].startswith("Invalid token"), answer.text


@pytest.mark.parametrize("row", [row for row in ROWS if "{" in row.route], ids=ids)
def test_an_id_that_is_none_is_422(contract, row):
    method, path = row.method, row.path(contract)
    parts = [part.replace(contract.study, "not-an-id") for part in path.split("/")]
    if "{h}" in row.route:
        parts[2] = "not-an-id"
    if row.route.endswith(("/docs", "/openapi.json")):
        return  # they tell nobody whether a workspace exists
    who = next((each for each in "AORM" if each in row.roles), "R")
    more = {"json": row.body} if row.body is not None else {}
    answer = contract.call(
        who, method, "/".join(parts), params=dict(row.query), headers=dict(row.headers), **more
    )
    expected = {422} if who == "A" else {401, 422}  # no token is for what is no workspace
    assert answer.status_code in expected, answer.text


REFERENCE = """
GET /  GET /ping  GET /health  GET /.metadata  GET /docs  GET /openapi.json
GET /docs/oauth2-redirect  GET /workspaces/{w}/docs  GET /workspaces/{w}/openapi.json
GET /workspace-templates  GET /workspace-templates/{name}  POST /workspace-templates
GET /workspace-service-templates  GET /workspace-service-templates/{name}
POST /workspace-service-templates
GET /workspace-service-templates/{name}/user-resource-templates
GET /workspace-service-templates/{name}/user-resource-templates/{name}
POST /workspace-service-templates/{name}/user-resource-templates
GET /shared-service-templates  GET /shared-service-templates/{name}  POST /shared-service-templates
GET /workspaces/{w}/workspace-service-templates
GET /workspaces/{w}/workspace-service-templates/{name}/user-resource-templates
GET /workspaces  GET /workspaces/{w}  GET /workspaces/{w}/scopeid  POST /workspaces
PATCH /workspaces/{w}  DELETE /workspaces/{w}  POST /workspaces/{w}/invoke-action
GET /workspaces/{w}/operations  GET /workspaces/{w}/operations/{op}  GET /workspaces/{w}/history
GET /workspaces/{w}/users  GET /workspaces/{w}/assignable-users  GET /workspaces/{w}/roles
POST /workspaces/{w}/users/assign  DELETE /workspaces/{w}/users/assign
GET /workspaces/{w}/workspace-services  POST /workspaces/{w}/workspace-services
GET {S}  PATCH {S}  DELETE {S}  POST {S}/invoke-action
GET {S}/operations  GET {S}/operations/{op}  GET {S}/history
GET {S}/user-resources  POST {S}/user-resources
GET {U}  PATCH {U}  DELETE {U}  POST {U}/invoke-action
GET {U}/operations  GET {U}/operations/{op}  GET {U}/history
GET /shared-services  POST /shared-services  GET /shared-services/{h}  PATCH /shared-services/{h}
DELETE /shared-services/{h}  POST /shared-services/{h}/invoke-action
GET /shared-services/{h}/operations  GET /shared-services/{h}/operations/{op}
GET /shared-services/{h}/history  GET /operations  GET /requests  POST /migrations
GET /costs  GET /workspaces/{w}/costs
POST /workspaces/{w}/requests  GET /workspaces/{w}/requests
GET {R}  GET {R}/link  POST {R}/submit  POST {R}/cancel  POST {R}/review  POST {R}/revoke
POST {R}/review-user-resource
"""
"""Sections 2.3 to 2.10, typed off the tables."""


def test_every_row_of_the_reference_is_tested():
    service = "/workspaces/{w}/workspace-services/{s}"
    text = REFERENCE.replace("{U}", f"{service}/user-resources/{{u}}").replace("{S}", service)
    words = text.replace("{R}", "/workspaces/{w}/requests/{r}").split()
    wanted = {f"{method} {path}" for method, path in zip(words[::2], words[1::2], strict=True)}
    names = ("restricted", "notebooks", "jupyterlab", "none")
    tested = set()
    for row in ROWS:
        parts = ["{name}" if part in names else part for part in row.route.split("/")]
        tested.add("/".join(parts))
    assert tested == wanted
