"""Texts from templates: the corpus' own small language.

(a|b) is one of these, [a|b] one of these or nothing, {slot} a value. Pure: randomness comes from the caller.
"""

import json
import re
from pathlib import Path
from random import Random
from typing import Any

INNERMOST = re.compile(r"\(([^()\[\]]*)\)|\[([^()\[\]]*)\]")
OPTIONAL_SHARE = 0.4  # how often an optional part is spoken


def read(name: str) -> Any:
    return json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))


def expand(template: str, random: Random, **slots: str) -> str:
    """One text of a template."""
    while match := INNERMOST.search(template):
        if match[1] is not None:
            chosen = random.choice(match[1].split("|"))
        else:
            chosen = random.choice(match[2].split("|")) if random.random() < OPTIONAL_SHARE else ""
        template = template[: match.start()] + chosen + template[match.end() :]
    for name, value in slots.items():
        template = template.replace("{" + name + "}", value)
    return template


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def with_articles(text: str) -> str:
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
