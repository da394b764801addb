"""The program that `llama_server` starts: llama.cpp's server in this process, until it is told to stop.

Prints its address as a line of its own when the model is loaded and it listens. The key that it asks for is taken from
LLAMA_API_KEY. Ends on SIGTERM, when its stdin closes, and at once when its parent is gone, however that went. It does
not end while a stream is open: who asks it to stop closes the streams first, or kills it.
"""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from llm_service.engines import leash


def main() -> None:
    """Serve until told to stop."""
    leash.die_with(os.getppid())
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # else a failed assertion starts a debugger
    server = _serve(_arguments())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    leash.hold(stop.set)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    stop.wait()
    del server  # joins its threads


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--alias", default="local")
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--context", type=int, default=1024, help="tokens, of all slots together")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gpu-layers", type=int, default=0)
    parser.add_argument("--chat-template", type=Path, help="a Jinja file instead of the model's own template")
    return parser.parse_args()


def _serve(arguments: argparse.Namespace) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = arguments.model
    params.model_alias = {arguments.alias}  # without one, answers carry the file's path
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [os.environ["LLAMA_API_KEY"]]
    params.cors_origins = "localhost"  # the default lets any web page call it
    params.ui = False
    params.n_parallel = arguments.slots
    params.n_ctx = arguments.context
    params.n_gpu_layers = arguments.gpu_layers
    params.fit_params = False  # take what was asked for, or fail
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = arguments.threads
    params.cache_ram_mib = 0  # the default keeps up to 8 GiB of old prompts
    params.use_jinja = True
    if arguments.chat_template:
        params.chat_template = arguments.chat_template.read_text(encoding="utf-8")
    params.verbosity = 1  # errors
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
