#!/bin/sh
# Solve every lock again: one for each service's image, one for `make run`, one for tests. All agree with local.txt.
set -eu
solve() {
    out=$1
    shift
    .venv/bin/python -m uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-annotate --no-header "$@" pyproject.toml --output-file "deploy/locks/$out.txt"
}
solve local --extra gateway --extra asr --extra llm --extra tts --extra run ${UPGRADE:+--upgrade}
for service in gateway asr llm tts; do
    solve "$service" --extra "$service" --constraint deploy/locks/local.txt
done
solve dev --extra gateway --extra asr --extra llm --extra tts --extra run --extra dev --extra piper --extra edge \
    --constraint deploy/locks/local.txt
# An engine that is built on PyTorch has a lock beside its service's, which leaves PyTorch out: see deploy/torch.sh.
solve asr-funasr --extra asr --extra funasr --constraint deploy/locks/dev.txt
# So has one that is built on this machine: see deploy/llama.sh.
solve llm-llama --extra llm --extra llama --constraint deploy/locks/dev.txt
# So has one whose packages agree with no other's, which therefore lives in a process of its own: see deploy/cosyvoice.sh.
solve tts-cosyvoice --extra tts --extra cosyvoice --constraint deploy/locks/tts.txt
solve tts-cosyvoice-dev --extra tts --extra cosyvoice --extra room --constraint deploy/locks/tts-cosyvoice.txt
echo "xinference==4.1.0" | .venv/bin/python -m uv pip compile --quiet --python-version 3.11 --generate-hashes --no-deps \
    --no-emit-index-url --no-annotate --no-header - --output-file deploy/locks/tts-cosyvoice-classes.txt
