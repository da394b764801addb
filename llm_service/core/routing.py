"""Decide which upstreams may answer a request, by the model that it names: the one that is meant, then its stand-ins.

A model is named `upstream/model`, by a bare name that an upstream has, or by the bare name of an upstream; no name
means the first in order, and so does an unknown one where there is only one upstream. A stand-in is an upstream with
the same model, in order, then those that the operator listed. A request that names its upstream gets stand-ins only
when that upstream is in the operator's list, and then only those after it: so nothing goes elsewhere that was meant for
one place, unless the operator said so. Never asks anybody which models there are. Laws: the one that is meant comes
first; no upstream comes twice; a request that names no model always has a way.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """An upstream as the router sees it: its models, None while they are not known; whether that list is closed, so
    that it has no others; and the public name of its own choice of a model."""

    name: str
    models: tuple[str, ...] | None = None
    is_closed: bool = False
    public_name: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """Ask this upstream, for this model; None: for its own choice."""

    upstream: str
    model: str | None


def ways(model: str | None, places: Sequence[Place], stand_ins: Sequence[str]) -> list[Way]:
    """Who may answer, in order of preference; nobody when there is no such model. `stand_ins`: `upstream[/model]`."""
    listed = _listed(stand_ins, places)
    if not model:
        return _unique([Way(places[0].name, None), *listed])
    upstream, slash, rest = model.partition("/")
    place = next((place for place in places if place.name == upstream), None)
    if place and slash and _may_have(place, rest):
        return _unique([_to(place, rest), *_after(place, listed)])
    if holders := [_to(place, model) for place in places if _has(place, model)]:
        return _unique([*holders, *listed])
    if place and not slash:
        return _unique([Way(place.name, None), *_after(place, listed)])
    return _unique([Way(places[0].name, None), *listed]) if len(places) == 1 and not place else []


def is_plain(model: str | None, places: Sequence[Place]) -> bool:
    """Whether the way is known from what is known, so that nobody need be asked which models there are."""
    if not model or model.partition("/")[0] in {place.name for place in places}:
        return True
    return any(_has(place, model) for place in places)


def _has(place: Place, model: str) -> bool:
    return model == place.public_name or model in (place.models or ())


def _may_have(place: Place, model: str) -> bool:
    return bool(model) and (not place.is_closed or _has(place, model))


def _to(place: Place, model: str) -> Way:
    return Way(place.name, None if model in ("", place.public_name) else model)


def _listed(stand_ins: Iterable[str], places: Sequence[Place]) -> list[Way]:
    named = {place.name: place for place in places}
    parts = [listed.partition("/") for listed in stand_ins]
    return [_to(named[name], model) for name, _, model in parts if name in named]


def _after(place: Place, listed: Sequence[Way]) -> list[Way]:
    """Those that stand in for an upstream that was asked for by name."""
    names = [way.upstream for way in listed]
    return list(listed[names.index(place.name) + 1 :]) if place.name in names else []


def _unique(found: Iterable[Way]) -> list[Way]:
    """The first way to each upstream."""
    kept: dict[str, Way] = {}
    for way in found:
        kept.setdefault(way.upstream, way)
    return list(kept.values())
