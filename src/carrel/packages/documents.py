"""How does the OpenAPI document describe what came in through the doors for software?"""

from collections.abc import Mapping

from carrel.core.documents import OPEN, Schema, listing

ANSWERS: Mapping[str, Schema] = {
    "list_packages": listing("packages", OPEN),
    "list_egress": listing("connections", OPEN),
}
