"""How does the OpenAPI document describe the way to a tool?"""

from collections.abc import Mapping

from carrel.core.documents import TEXT, Schema, thing

ANSWERS: Mapping[str, Schema] = {"launch": thing({"url": TEXT})}
