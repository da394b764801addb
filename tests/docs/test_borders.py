"""The three rings, read from the imports: cores decide and touch nothing, shells keep to themselves, engines are alone.

`violations` looks at a tree of source files; every rule is planted once below to see that it is found.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.docs

TOP = Path(__file__).parents[2]
SERVICES = ("gateway", "asr_service", "llm_service", "tts_service")
PACKAGES = (*SERVICES, "shared")

PURE = {
    "abc", "array", "base64", "bisect", "collections", "copy", "dataclasses", "decimal", "difflib", "enum", "fractions",
    "functools", "hashlib", "heapq", "itertools", "json", "math", "numbers", "operator", "re", "statistics", "string",
    "struct", "textwrap", "types", "typing", "unicodedata",
}  # fmt: skip
WEB = {"fastapi", "starlette", "uvicorn"}
HEAVY = {"numpy", "scipy", "soxr"}
MODELS = {
    "cosyvoice", "ctranslate2", "edge_tts", "espeakng_loader", "f5_tts", "faster_whisper", "funasr", "gguf",
    "llama_cpp", "onnxruntime", "piper", "pocketsphinx", "qwen_tts", "sentence_transformers", "tokenizers", "torch",
    "torchaudio", "transformers", "vibevoice", "xllamacpp",
}  # fmt: skip
ENGINE_MAY_USE = ("core", "engines", "settings")  # of its own package; the rest are routes and streams
CLOCKS = {
    "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns",
    "anyio.current_time", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today",
    "datetime.date.today",
}  # fmt: skip
CLOCK = "shared.clock"
TRAINING = ("asr_service.demo_model", "llm_service.demo_model")  # scripts that make a model; no service imports them


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name, what it imports, and what else it names."""

    name: str
    tree: ast.Module
    is_package: bool

    @property
    def package(self) -> str:
        return self.name.split(".")[0]

    def is_in(self, room: str) -> bool:
        return self.name.startswith(f"{self.package}.{room}.") or self.name == f"{self.package}.{room}"

    def imports(self) -> Iterator[str]:
        """Every module or name that it imports, anywhere in the file, in full."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                yield from (f"{base}.{alias.name}" for alias in node.names)

    def uses(self) -> Iterator[str]:
        """Every dotted name that it reads, with the first part replaced by what was imported under it."""
        known = dict(self._bindings())
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute | ast.Name):
                first, *rest = ast.unparse(node).split(".")
                yield ".".join([known.get(first, first), *rest])

    def _bindings(self) -> Iterator[tuple[str, str]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.asname, alias.name) for alias in node.names if alias.asname)
            elif isinstance(node, ast.ImportFrom):
                yield from ((alias.asname or alias.name, f"{self._base(node)}.{alias.name}") for alias in node.names)

    def _base(self, node: ast.ImportFrom) -> str:
        above = self.name.split(".")[: None if self.is_package else -1]
        above = above[: len(above) + 1 - node.level] if node.level else []
        return ".".join([*above, *([node.module] if node.module else [])])


def modules(top: Path) -> Iterator[Module]:
    """Every source file of the packages."""
    for package in PACKAGES:
        for path in sorted((top / package).rglob("*.py")):
            parts = path.relative_to(top).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            yield Module(name, ast.parse(path.read_text(encoding="utf-8")), is_package)


def named_engines(top: Path) -> set[str]:
    """The modules that the ENGINES tables name."""
    found = set()
    for module in modules(top):
        if module.name == f"{module.package}.engines":
            tables = [
                node.value
                for node in module.tree.body
                if isinstance(node, ast.Assign | ast.AnnAssign) and "ENGINES" in ast.unparse(node).split("=")[0]
            ]
            texts = [
                node.value for table in tables if table for node in ast.walk(table) if isinstance(node, ast.Constant)
            ]
            found |= {text.partition(":")[0] for text in texts if isinstance(text, str) and ":" in text}
    return found


def within(name: str, *rooms: str) -> bool:
    """Whether an imported name is one of the modules, or in one."""
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def core_rule(module: Module, engines: set[str]) -> Iterator[str]:
    if not module.is_in("core"):
        return
    for name in module.imports():
        if not within(name, *PURE, f"{module.package}.core", "shared.core"):
            why = "is not pure" if name.split(".")[0] in sys.stdlib_module_names else "is no core of its own"
            yield f"a core imports {name}, which {why}"
    yield from (f"a core calls {name}()" for name in module.uses() if name in {"open", "print", "input", "__import__"})


def package_rule(module: Module, engines: set[str]) -> Iterator[str]:
    others = [package for package in PACKAGES if package not in (module.package, "shared")]
    yield from (f"{module.package} imports {name}" for name in module.imports() if within(name, *others))


def engine_rule(module: Module, engines: set[str]) -> Iterator[str]:
    if not module.is_in("engines"):
        yield from (f"{name} is imported past its table" for name in module.imports() if within(name, *engines))
        return
    own = [f"{module.package}.{room}" for room in ENGINE_MAY_USE]
    for name in module.imports():
        if within(name, *WEB, "shared.wire", "shared.app"):
            yield f"an engine imports {name}"
        elif within(name, module.package) and not within(name, *own):
            yield f"an engine imports {name} of the shell"
        elif within(name, *(engines - {module.name})):
            yield f"an engine imports the engine {name}"


def library_rule(module: Module, engines: set[str]) -> Iterator[str]:
    if within(module.name, *TRAINING):
        return
    if module.package in ("gateway", "shared"):
        yield from (f"{module.package} imports {name}" for name in module.imports() if within(name, *HEAVY, *MODELS))
    elif not module.is_in("engines"):
        yield from (f"a shell imports the model library {name}" for name in module.imports() if within(name, *MODELS))


def training_rule(module: Module, engines: set[str]) -> Iterator[str]:
    if not within(module.name, *TRAINING):
        yield from (f"a service imports {name}" for name in module.imports() if within(name, *TRAINING))


def clock_rule(module: Module, engines: set[str]) -> Iterator[str]:
    if module.name != CLOCK and not within(module.name, *TRAINING):
        yield from (f"{name} is read past {CLOCK}" for name in sorted(set(module.uses()) & CLOCKS))


def loop_rule(module: Module, engines: set[str]) -> Iterator[str]:
    yield from (f"{name} is imported, not anyio" for name in module.imports() if within(name, "asyncio", "trio"))


Rule = Callable[[Module, set[str]], Iterator[str]]
RULES: list[Rule] = [core_rule, package_rule, engine_rule, library_rule, training_rule, clock_rule, loop_rule]


def violations(top: Path) -> list[str]:
    """`module: what it does wrong`, for every rule that a file of the tree breaks."""
    engines = named_engines(top)
    return [f"{module.name}: {fault}" for module in modules(top) for rule in RULES for fault in rule(module, engines)]


def test_the_rings_hold() -> None:
    assert violations(TOP) == []


def test_the_tree_that_is_looked_at_is_this_one() -> None:
    names = {module.name for module in modules(TOP)}
    assert {"gateway.core.conversation", "asr_service.engines.base", "shared.wire.codec"} <= names
    assert named_engines(TOP) >= {"asr_service.engines.pocketsphinx", "tts_service.engines.espeak"}


CLEAN = {
    "gateway/session.py": "import anyio\nfrom shared.wire import native\nfrom gateway.core import turn\n",
    "gateway/core/turn.py": "from dataclasses import dataclass\nfrom gateway.core.words import joined\n",
    "asr_service/resampler.py": "import numpy as np\nfrom asr_service.engines.base import Engine\n",
    "asr_service/engines/__init__.py": 'ENGINES = {"a": "asr_service.engines.a:f", "b": "asr_service.engines.b:f"}\n',
    "asr_service/engines/a.py": "import torch\nfrom asr_service.engines.base import Engine\nfrom shared import pcm\n",
    "asr_service/engines/b.py": "from . import base\nfrom ..core import cutter\nfrom asr_service.settings import S\n",
    "llm_service/demo_model/train.py": "import time\nimport torch\nBEGAN_S = time.time()\n",
    "shared/clock.py": "import time\nfrom datetime import datetime\nNOW = time.monotonic, datetime.now\n",
}
PLANTED = [
    ("gateway/core/turn.py", "import logging\n", "a core imports logging, which is not pure"),
    ("gateway/core/turn.py", "def f() -> None:\n    import time\n", "a core imports time, which is not pure"),
    (
        "asr_service/core/cutter.py",
        "from numpy import array\n",
        "a core imports numpy.array, which is no core of its own",
    ),
    ("gateway/core/turn.py", "from shared import ids\n", "a core imports shared.ids, which is no core of its own"),
    ("gateway/core/turn.py", "from .. import session\n", "a core imports gateway.session, which is no core of its own"),
    ("gateway/core/turn.py", "open('x')\n", "a core calls open()"),
    ("shared/pcm.py", "import gateway.session\n", "shared imports gateway.session"),
    ("gateway/link.py", "from asr_service.stream import x\n", "gateway imports asr_service.stream.x"),
    ("asr_service/stream.py", "from tts_service import stream\n", "asr_service imports tts_service.stream"),
    ("asr_service/engines/a.py", "import fastapi\n", "an engine imports fastapi"),
    ("asr_service/engines/a.py", "from starlette.websockets import x\n", "an engine imports starlette.websockets.x"),
    ("asr_service/engines/a.py", "from shared.wire import asr\n", "an engine imports shared.wire.asr"),
    ("asr_service/engines/a.py", "from ..stream import x\n", "an engine imports asr_service.stream.x of the shell"),
    ("asr_service/engines/a.py", "from . import b\n", "an engine imports the engine asr_service.engines.b"),
    ("asr_service/stream.py", "from .engines.a import x\n", "asr_service.engines.a.x is imported past its table"),
    ("asr_service/stream.py", "import torch.nn\n", "a shell imports the model library torch.nn"),
    ("gateway/levels.py", "import numpy as np\n", "gateway imports numpy"),
    ("gateway/levels.py", "import soxr\n", "gateway imports soxr"),
    ("shared/pcm.py", "import numpy.fft\n", "shared imports numpy.fft"),
    ("llm_service/app.py", "from llm_service.demo_model import x\n", "a service imports llm_service.demo_model.x"),
    ("gateway/talk.py", "import time\ntime.monotonic()\n", "time.monotonic is read past shared.clock"),
    ("gateway/talk.py", "import time as t\nf = t.time\n", "time.time is read past shared.clock"),
    ("gateway/talk.py", "from time import perf_counter as now\nnow()\n", "time.perf_counter is read past shared.clock"),
    (
        "gateway/talk.py",
        "from anyio import current_time\ncurrent_time()\n",
        "anyio.current_time is read past shared.clock",
    ),
    ("gateway/talk.py", "import datetime\ndatetime.date.today()\n", "datetime.date.today is read past shared.clock"),
    (
        "gateway/talk.py",
        "from datetime import UTC, datetime\ndatetime.now(UTC)\n",
        "datetime.datetime.now is read past shared.clock",
    ),
    ("asr_service/engines/a.py", "import asyncio\n", "asyncio is imported, not anyio"),
    ("shared/app.py", "from asyncio import sleep\n", "asyncio.sleep is imported, not anyio"),
]


def write(top: Path, files: dict[str, str]) -> None:
    for name, source in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)


def test_a_tree_that_keeps_the_rules_has_no_violation(tmp_path: Path) -> None:
    write(tmp_path, CLEAN)
    assert violations(tmp_path) == []


@pytest.mark.parametrize(("path", "source", "fault"), PLANTED)
def test_a_planted_violation_is_found(path: str, source: str, fault: str, tmp_path: Path) -> None:
    write(tmp_path, CLEAN | {path: source})
    assert violations(tmp_path) == [f"{path.removesuffix('.py').replace('/', '.')}: {fault}"]
