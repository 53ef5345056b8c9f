"""How do programs reach the evidence room over HTTP?"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from carrel.core.paging import Wanted, listed, wanted
from carrel.core.web import ActorDep, provide
from carrel.evidence.rules import Proof
from carrel.evidence.service import PAGE_SIZE, ProofOrder, Proofs

router = APIRouter(prefix="/evidence", tags=["evidence"])
ProofsDep = Annotated[Proofs, Depends(provide(Proofs))]
PartDep = Annotated[
    Wanted[ProofOrder],
    Depends(wanted(ProofOrder, ProofOrder.MADE, is_ascending=False, default_limit=PAGE_SIZE)),
]


@router.get("/proofs")
def list_proofs(actor: ActorDep, proofs: ProofsDep, part: PartDep) -> Response:
    """List proofs of isolation, newest first, without their lines."""
    return listed(part, "proofs", proofs.list(actor, part).map(_summary))


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
