"""Which routes tell load balancers, clients and monitors that the TRE is there and well?"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from carrel import __version__
from carrel.core.errors import NotAuthenticated
from carrel.core.web import find_actor, provide
from carrel.people.tokens.identity import TreIdentity
from carrel.portal.health import Health, Part, Report

router = APIRouter(tags=["TRE"])
root_router = APIRouter(include_in_schema=False)

HealthDep = Annotated[Health, Depends(provide(Health))]
IdentityDep = Annotated[TreIdentity, Depends(provide(TreIdentity))]


@router.get("", include_in_schema=False)
@router.get("/ping")
@root_router.get("/ping")
def ping() -> str:
    """Answer "pong", without looking at anything else."""
    return "pong"


@router.get("/health")
def get_health(request: Request, health: HealthDep) -> dict[str, Any]:
    """Report the state of the database, the queue, every role and the host's isolation.

    `services` is AzureTRE's answer, literally. Signed-in people also get `well`, `parts`, `roles`
    and `isolation`. The answer is 200 as soon as this process can speak, as in AzureTRE: read it.
    """
    report = health.report()
    own = _own(report) if report.database.is_well and _is_known(request) else {}
    return {"services": _azure_services(report), **own}


@router.get("/.metadata")
@root_router.get("/.metadata")
async def get_metadata(identity: IdentityDep) -> dict[str, str]:
    """Tell clients the API's version and how to sign in."""
    return {
        "api_version": __version__,
        "api_client_id": identity.api_client_id,
        "api_root_scope": identity.api_root_scope,
        "aad_tenant_id": identity.tenant_id,
        "sign_in": "/api/sign-in",
    }


def _azure_services(report: Report) -> list[dict[str, str]]:
    """Answer in AzureTRE's words; its clients compare this list literally."""
    work = [role for role in report.roles if role.role == "work"]
    worker = Part("", any(role.is_alive for role in work), "No worker is running.")
    named = (
        ("Cosmos DB", report.database),
        ("Service Bus", report.queue),
        ("Resource Processor", worker),
    )
    return [
        {
            "service": name,
            "status": "OK" if part.is_well else "Not OK",
            "message": "" if part.is_well else part.message,
        }
        for name, part in named
    ]


def _own(report: Report) -> dict[str, Any]:
    parts = (report.database, report.queue, report.isolation)
    checks = report.self_test.checks if report.self_test else ()
    return {
        "well": report.is_well,
        "parts": [
            {"name": part.name, "well": part.is_well, "message": part.message} for part in parts
        ],
        "roles": [
            {
                "role": role.role,
                "alive": role.is_alive,
                "seen": role.seen_at.timestamp() if role.seen_at else None,
            }
            for role in report.roles
        ],
        "isolation": {
            "level": report.self_test.level if report.self_test else None,
            "checks": [{"enforces": check.enforces, "passed": check.passed} for check in checks],
        },
    }


def _is_known(request: Request) -> bool:
    """Whether somebody signed in asks; a token that is not taken makes no difference here."""
    try:
        return find_actor(request) is not None
    except NotAuthenticated:
        return False
