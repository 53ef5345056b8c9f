"""Which pages show the proofs?"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from carrel.core.web import ActorDep, provide, render
from carrel.evidence.service import Proofs

router = APIRouter()
ProofsDep = Annotated[Proofs, Depends(provide(Proofs))]


@router.get("/evidence")
def show_proofs(request: Request, actor: ActorDep, proofs: ProofsDep) -> Response:
    """Show the newest proof's outcome, and the list of all."""
    return render(request, "evidence/proofs.html", proofs=proofs.list(actor))


@router.get("/evidence/proofs/{proof_id}")
def show_proof(proof_id: str, request: Request, actor: ActorDep, proofs: ProofsDep) -> Response:
    """Show one proof, the open ways first."""
    proof = proofs.get(actor, proof_id)
    lines = sorted(proof.report["probes"], key=lambda line: line["closed"])
    return render(request, "evidence/proof.html", proof=proof, lines=lines)
