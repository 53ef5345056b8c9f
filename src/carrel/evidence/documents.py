"""How does the OpenAPI document describe proofs of isolation?"""

from collections.abc import Mapping

from carrel.core.documents import COUNT, FLAG, NUMBER, OPEN, TEXT, Schema, listing, many, ref, thing

_LINE: Mapping[str, Schema] = {
    "id": TEXT,
    "madeAt": TEXT,
    "madeBy": TEXT,
    "level": TEXT,
    "probes": COUNT,
    "open": COUNT,
    "proven": FLAG,
    "seconds": NUMBER,
    "skipped": many(TEXT),
}
SCHEMAS: Mapping[str, Schema] = {"ProofLine": thing(_LINE)}
ANSWERS: Mapping[str, Schema] = {
    "list_proofs": listing("proofs", ref("ProofLine")),
    "get_proof": thing({"proof": thing({**_LINE, "report": OPEN})}),
}
