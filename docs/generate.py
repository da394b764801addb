"""`python -m docs.generate --write`: write the pages that follow from the code. `--check` fails when one differs.

docs/protocol.md and protocol.schema.json from the wire models, configuration.md from the settings classes, errors.md
from the error tree, metrics.md from the registry, conversation.md and endpointer.md from the transition tables.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY
from pydantic_core import PydanticUndefined

from asr_service.core import endpointer
from asr_service.settings import AsrSettings
from gateway.core import transitions
from gateway.core.transitions import IGNORED
from gateway.settings import GatewaySettings
from llm_service.settings import LlmSettings
from shared import errors, metrics
from shared.settings import ServiceSettings
from shared.wire import asr, native, tts
from shared.wire.codec import Codec, Message
from tts_service.settings import TtsSettings

FOLDER = Path(__file__).parent
HEAD = "<!-- Written by `make docs WRITE=1`; change the code instead. -->\n\n"
WIRES: dict[str, tuple[str, Codec[Any], Codec[Any]]] = {
    "Clients and the gateway": (native.__doc__ or "", native.CLIENT, native.SERVER),
    "gateway and asr_service": (asr.__doc__ or "", asr.ASR_IN, asr.ASR_OUT),
    "gateway and tts_service": (tts.__doc__ or "", tts.TTS_IN, tts.TTS_OUT),
}
SETTINGS: tuple[type[ServiceSettings], ...] = (GatewaySettings, AsrSettings, LlmSettings, TtsSettings)


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    lines = [list(head), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def protocol() -> str:
    """Every message of every wire, with its fields."""
    page = HEAD + "# The wire, version 1\n\n"
    for title, (text, inward, outward) in WIRES.items():
        page += f"## {title}\n\n{text.strip()}\n\n"
        for direction, codec in (("In", inward), ("Out", outward)):
            page += f"### {direction}\n\n"
            page += "".join(message(model) for model in codec.models.values())
    return page


def message(model: type[Message]) -> str:
    """One message: its meaning and its fields."""
    text = f"**`{model.type}`** {(model.__doc__ or '').strip()}\n\n"
    schema = model.model_json_schema(by_alias=False)
    required = set(schema.get("required", []))
    rows = [
        (f"`{name}`", kind(field), "yes" if name in required else "", field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
    ]
    return text + (table(("field", "type", "required", "meaning"), rows) if rows else "")


def kind(field: Mapping[str, Any]) -> str:
    """The type of a field in few words, with its bounds."""
    if "anyOf" in field:
        return " or ".join(kind(one) for one in field["anyOf"] if one.get("type") != "null")
    if "enum" in field:
        return " · ".join(f"`{value}`" for value in field["enum"])
    if "$ref" in field:
        return str(field["$ref"]).rsplit("/", 1)[-1]
    if field.get("type") == "array":
        return f"list of {kind(field['items'])}"
    low, high = field.get("minimum"), field.get("maximum")
    bounds = (
        f" {low if low is not None else '…'}–{high if high is not None else '…'}" if (low, high) != (None, None) else ""
    )
    return f"{field.get('type', 'object')}{bounds}"


def schema() -> str:
    """The JSON Schema of every message, by wire and direction."""
    found = {
        title: {
            direction: {name: model.model_json_schema(by_alias=False) for name, model in codec.models.items()}
            for direction, codec in (("in", inward), ("out", outward))
        }
        for title, (_, inward, outward) in WIRES.items()
    }
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def configuration() -> str:
    """Every setting of every service, with its other names, its default and its bounds."""
    page = HEAD + "# Settings\n\nRead once from the environment when a service starts; a bad value stops the start.\n\n"
    for settings in SETTINGS:
        prefix = str(settings.model_config.get("env_prefix", ""))
        page += f"## {prefix.rstrip('_').lower()}\n\n{(settings.__doc__ or '').strip()}\n\n"
        rows = []
        for name, field in settings.model_fields.items():
            choices = [str(choice) for choice in getattr(field.validation_alias, "choices", [])]
            names = [choice for choice in choices if choice != name] or [f"{prefix}{name}".upper()]
            default = "" if field.default is PydanticUndefined else relative(field.default)
            rows.append((", ".join(f"`{one}`" for one in names), f"`{default}`", field.description or ""))
        page += table(("variable", "default", "meaning"), rows)
    return page


def relative(default: object) -> str:
    """A default as a reader's checkout has it: paths from its top."""
    return str(default).replace(f"{FOLDER.parent}/", "")


def error_page() -> str:
    """Every error that a client may be told."""
    rows = [
        (f"`{leaf.code}`", leaf.status, leaf.close_code, "yes" if leaf.retryable else "no", leaf.__name__)
        for leaf in errors.leaves()
    ]
    return (
        HEAD
        + '# Errors\n\nHTTP answers carry `{"error": {…}}`; WebSockets send `error` messages.\n\n'
        + table(("code", "HTTP status", "WebSocket close", "retryable", "class"), rows)
    )


def metrics_page() -> str:
    """Every figure at /metrics."""
    rows = [
        (f"`{family.name}`", family.type, family.documentation)
        for family in sorted(REGISTRY.collect(), key=lambda family: family.name)
        if family.name.startswith("parley_")
    ]
    assert rows, f"no metrics in {metrics.__name__}"
    return HEAD + "# Metrics\n\nExported by every service at `/metrics`.\n\n" + table(("name", "type", "meaning"), rows)


def machine(title: str, text: str, rows: Mapping[Any, Mapping[type, str]]) -> str:
    """A transition table: one row an event, one column a state."""
    states = list(rows)
    events = list(rows[states[0]])
    cells = [(event.__name__, *(shown(rows[state][event]) for state in states)) for event in events]
    return HEAD + f"# {title}\n\n{text.strip()}\n\n" + table(("event", *(str(state) for state in states)), cells)


def shown(cell: str) -> str:
    """A cell for people: a step by its name, a reason to ignore the event in italics."""
    return f"*{cell.removeprefix(IGNORED)}*" if cell.startswith(IGNORED) else cell.lstrip("_")


def conversation() -> str:
    return machine("The conversation's table", transitions.__doc__ or "", transitions.TRANSITIONS)


def endpointing() -> str:
    rows: dict[str, dict[type, str]] = {}
    for (state, event), cell in endpointer.TRANSITIONS.items():
        text = IGNORED + cell.reason if isinstance(cell, endpointer.Ignored) else arrow(cell)
        rows.setdefault(state.name.lower(), {})[event] = text
    return machine("The endpointer's table", endpointer.__doc__ or "", rows)


def arrow(step: endpointer.Step) -> str:
    """A step and the states it may lead to."""
    return f"{step.method} → {', '.join(state.name.lower() for state in step.leads_to)}"


PAGES = {
    "protocol.md": protocol,
    "protocol.schema.json": schema,
    "configuration.md": configuration,
    "errors.md": error_page,
    "metrics.md": metrics_page,
    "conversation.md": conversation,
    "endpointer.md": endpointing,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m docs.generate")
    parser.add_argument("--write", action="store_true", help="write the pages")
    parser.add_argument("--check", action="store_true", help="fail when a page differs")
    given = parser.parse_args()
    differing = [
        name for name, page in PAGES.items() if not (FOLDER / name).exists() or (FOLDER / name).read_text() != page()
    ]
    if given.write:
        for name in differing:
            (FOLDER / name).write_text(PAGES[name]())
            print(f"docs/{name} written")
    elif differing:
        sys.exit(f"docs/ differs from the code: {', '.join(differing)}. Run `make docs WRITE=1`.")


if __name__ == "__main__":
    main()
