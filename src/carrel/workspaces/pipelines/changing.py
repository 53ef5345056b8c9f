"""How does the worker take a pipeline's step, and how does it take it back?

Everything happens in the transaction that also completes the step: read the resources, fill in
what the step refers to, check the patch against the template, save it with its history, and
remember, sealed, how to undo it. So a killed worker has done all of it or nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol

import orjson
from sqlalchemy import Connection

from carrel.core.actors import system
from carrel.core.database import canonical_json
from carrel.core.errors import Conflict, InvalidRequest
from carrel.core.ids import new_etag
from carrel.workspaces.masking import masked, outermost, picked
from carrel.workspaces.pipelines.effects import Effect, as_saved, effects, undone
from carrel.workspaces.pipelines.parsing import PipelineStep, step_of
from carrel.workspaces.pipelines.substitution import view
from carrel.workspaces.rules import Operation, Progress, Resource, Step, status_word
from carrel.workspaces.schemas import (
    changed_properties,
    check_properties,
    with_defaults,
)
from carrel.workspaces.service import Workspaces
from carrel.workspaces.service.given import given_by_carrel, known_to_schema
from carrel.workspaces.service.secrets import secret_pointers
from carrel.workspaces.store import (
    change_resource,
    change_step,
    change_version,
    find_any_resource,
    find_resource,
    has_turn,
    read_secrets,
    serialise,
    set_status,
    write_secrets,
)


class NotYet(Conflict):
    """The resource to change is being changed by another operation; look again in a moment."""

    code = "not_yet"


class Turn(Protocol):
    """A pipeline's step that is being taken, or taken back: the engine's `StepWork`."""

    @property
    def room(self) -> Workspaces:
        """The use cases."""
        ...

    @property
    def operation(self) -> Operation:
        """What the step belongs to."""
        ...

    @property
    def step(self) -> Step:
        """The step."""
        ...

    @property
    def left(self) -> list[str]:
        """Sentences about what could not be undone; added to here."""
        ...


def change(connection: Connection, turn: Turn) -> str:
    """Change the step's resource as the pipeline says; returns a sentence for people.

    Raises `NotYet` if it is another operation's turn, `InvalidRequest` if the change does not
    fit the resource's template.
    """
    serialise(connection)
    target = _locked(connection, turn)
    source = find_any_resource(connection, _source_id(turn))
    assert source is not None, "resources are never erased"
    if target is None:
        if turn.operation.action == "uninstall":
            return "It is gone, and what was in it too."
        raise Conflict("The resource that this step changes was deleted in the meantime.")
    described = step_of(turn.step.pipeline or {})
    current = turn.room.reveal(connection, target)
    if turn.step.undo:  # a try before this one could not take everything back
        current, _ = undone(_opened(turn), current)
    found, full, tainted = _changed(connection, turn, described, (source, target), current)
    names = sorted({each.name for each in found})
    if full == turn.room.reveal(connection, target):
        return "Nothing had to be changed."
    _save(connection, turn, target, full, tainted)
    sealed = _sealed(turn, as_saved(found, full))
    change_step(connection, turn.operation.id, turn.step.position, undo=sealed)
    return f"Changed {', '.join(names)} of {target.display_name}."


def change_back(connection: Connection, turn: Turn) -> str:
    """Undo what `change` did, as far as nobody changed it since; returns a sentence for people.

    What must stay is added to `turn.left`, by resource and property.
    """
    if not turn.step.undo:
        return "Nothing had been changed."
    serialise(connection)
    target = find_resource(connection, turn.step.resource_id, is_locked=True)
    source = find_resource(connection, _source_id(turn))
    if target is None:
        return "It is gone, and what was in it too."
    if source is None:  # a cascade got so far: what was taken out for it stays out
        return "Left as it is, because what it was changed for is deleted."
    current = turn.room.reveal(connection, target)
    before, names = undone(_opened(turn), current)
    try:
        check_properties(
            _schema(connection, turn.room, target), _own(connection, turn.room, target, before)
        )
    except InvalidRequest:
        before, names = current, sorted({each.name for each in _opened(turn)})
    if before != current:
        _save(connection, turn, target, before)
    if names:
        turn.left.append(_left(target, names))
        return f"Left behind: {turn.left[-1]}"
    change_step(connection, turn.operation.id, turn.step.position, undo=None)
    return f"Undone: {target.display_name} is as it was before."


def _source_id(turn: Turn) -> str:
    """Return the resource whose template has the pipeline."""
    return str((turn.step.pipeline or {}).get("source", turn.operation.resource_id))


def _left(resource: Resource, names: Sequence[str]) -> str:
    return (
        f"{', '.join(names)} of the {resource.kind.replace('-', ' ')} {resource.display_name} "
        f"({resource.id}) stays as it is, because somebody else changed it in the meantime. "
        "Look at it and put it right by hand."
    )


# ----------------------------------------------------------------------------------------------


def _locked(connection: Connection, turn: Turn) -> Resource | None:
    resource_id = turn.step.resource_id
    is_other = resource_id != turn.operation.resource_id
    if is_other and not has_turn(connection, turn.operation, resource_id):
        raise NotYet("It waits until another change of the same resource has ended.")
    return find_resource(connection, resource_id, is_locked=True)


def _changed(
    connection: Connection,
    turn: Turn,
    described: PipelineStep,
    pair: tuple[Resource, Resource],
    current: Mapping[str, Any],
) -> tuple[Sequence[Effect], dict[str, Any], frozenset[str]]:
    """Return what the step does, the full properties that come of it, and where secrets went."""
    source, target = pair
    chain = [source, *_parents(connection, source)]
    shown = [view(each, each.properties) for each in chain]
    whole = [view(each, turn.room.reveal(connection, each)) for each in chain]
    found = effects(described, current, whole[0], whole[1:])
    patch = {each.name: each.after for each in found}
    schema, own = (
        _schema(connection, turn.room, target),
        _own(connection, turn.room, target, current),
    )
    if described.is_main and turn.operation.action == "install":
        merged = with_defaults(schema, {**own, **patch})
        check_properties(schema, merged)
    else:
        merged = changed_properties(schema, own, patch)
    full = {**merged, **given_by_carrel(replace(target, properties=current))}
    without = {each.name: each.after for each in effects(described, current, shown[0], shown[1:])}
    # What would be another without the secrets that went into it, is a secret itself.
    return found, full, frozenset(_differing(patch, without))


def _own(
    connection: Connection, room: Workspaces, target: Resource, properties: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the properties that the template's schema has to judge."""
    return known_to_schema(room.catalogue.of(connection, target), properties)


def _differing(one: Any, other: Any, pointer: str = "") -> Iterator[str]:
    """Yield the JSON pointers of the smallest parts in which two values differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping) and one.keys() == other.keys():
        for name in one:
            part = str(name).replace("~", "~0").replace("/", "~1")
            yield from _differing(one[name], other[name], f"{pointer}/{part}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, pair in enumerate(zip(one, other, strict=True)):
            yield from _differing(*pair, f"{pointer}/{place}")
    elif one != other:
        yield pointer


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


def _parents(connection: Connection, resource: Resource) -> Sequence[Resource]:
    """Return what lies above a resource, the nearest first."""
    ids = (resource.parent_id, resource.workspace_id)
    above = [each for each in dict.fromkeys(ids) if each and each != resource.id]
    found = [find_any_resource(connection, each) for each in above]
    return [each for each in found if each is not None]


def _schema(connection: Connection, room: Workspaces, resource: Resource) -> Mapping[str, Any]:
    return room.catalogue.of(connection, resource).schema


def _save(
    connection: Connection,
    turn: Turn,
    target: Resource,
    full: Mapping[str, Any],
    tainted: frozenset[str] = frozenset(),
) -> None:
    room, operation = turn.room, turn.operation
    sealed = read_secrets(connection, room.keys, target.id)
    known = [text for value in sealed.values() for text in _texts(value)]
    schema = _schema(connection, room, target)
    secret = secret_pointers(schema, full, before=sealed, tainted=known)
    pointers = outermost(secret | tainted)
    write_secrets(connection, room.keys, target.id, picked(full, pointers))
    new = replace(
        target,
        properties=masked(full, pointers),
        updated_at=room.clock.now(),
        updated_by=operation.user,
    )
    if target.id == operation.resource_id:  # part of the change that is under way
        change_resource(connection, target.id, properties=new.properties, etag=new_etag())
        return
    saved = change_version(connection, target, new)
    set_status(connection, target.id, status_word("upgrade", Progress.DONE))
    room.note(
        connection,
        system("worker"),
        saved,
        "changed",
        changed=_names(target, new),
        version=saved.version,
        operation=operation.id,
        asked_by=operation.user.id,
    )


def _names(old: Resource, new: Resource) -> list[str]:
    names = sorted({*old.properties, *new.properties})
    return [name for name in names if old.properties.get(name) != new.properties.get(name)]


def _sealed(turn: Turn, found: Sequence[Effect]) -> str:
    text = canonical_json([asdict(each) for each in found])
    return turn.room.keys.encrypt(text, context=_context(turn))


def _opened(turn: Turn) -> list[Effect]:
    text = turn.room.keys.decrypt(turn.step.undo, context=_context(turn))
    return [Effect(**each) for each in orjson.loads(text)]


def _context(turn: Turn) -> str:
    return f"operation:{turn.operation.id}:{turn.step.position}"
