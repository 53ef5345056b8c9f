"""How do programs reach the evidence room over HTTP?"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from carrel.core.web import ActorDep, provide
from carrel.evidence.rules import Proof
from carrel.evidence.service import MOST_LISTED, Proofs

router = APIRouter(prefix="/evidence", tags=["evidence"])
ProofsDep = Annotated[Proofs, Depends(provide(Proofs))]


@router.get("/proofs")
def list_proofs(
    actor: ActorDep, proofs: ProofsDep, limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 50
) -> dict[str, Any]:
    """List proofs of isolation, newest first, without their lines."""
    return {"proofs": [_summary(proof) for proof in proofs.list(actor, limit=limit)]}


@router.get("/proofs/{proof_id}")
def get_proof(proof_id: str, actor: ActorDep, proofs: ProofsDep) -> dict[str, Any]:
    """Return one proof with every probe, its control and what was observed."""
    proof = proofs.get(actor, proof_id)
    return {"proof": {**_summary(proof), "report": proof.report}}


def _summary(proof: Proof) -> dict[str, Any]:
    return {
        "id": proof.id,
        "madeAt": proof.made_at.isoformat(),
        "madeBy": proof.made_by,
        "level": proof.level,
        "probes": proof.probes,
        "open": proof.open,
        "proven": proof.proven,
        "seconds": proof.seconds,
        "skipped": list(proof.skipped),
    }
