#!/bin/sh
# Start the four services on loopback under supervisord, on PORT and the three ports after it.
set -eu
python=$PWD/.venv/bin/python
"$python" -m deploy.preflight "$PORT"

export GATEWAY_PORT="$PORT" LLM_PORT=$((PORT + 1)) ASR_PORT=$((PORT + 2)) TTS_PORT=$((PORT + 3))
export GATEWAY_LLM_URL="${GATEWAY_LLM_URL:-http://127.0.0.1:$LLM_PORT}"
export GATEWAY_ASR_URL="${GATEWAY_ASR_URL:-ws://127.0.0.1:$ASR_PORT}"
export GATEWAY_TTS_URL="${GATEWAY_TTS_URL:-ws://127.0.0.1:$TTS_PORT}"
export PARLEY_VAR="${PARLEY_VAR:-$PWD/var}" PARLEY_PYTHON="$python" PARLEY_USER
PARLEY_USER=$(id -un)
export GATEWAY_DATABASE_URL="${GATEWAY_DATABASE_URL:-sqlite+aiosqlite:///$PARLEY_VAR/parley.db}"
export GATEWAY_SESSIONS_DIR="${GATEWAY_SESSIONS_DIR:-$PARLEY_VAR/sessions}"
export GATEWAY_MEMORY_DATABASE_URL="${GATEWAY_MEMORY_DATABASE_URL:-sqlite+aiosqlite:///$PARLEY_VAR/memory.db}"
export GATEWAY_MILVUS_PATH="${GATEWAY_MILVUS_PATH:-$PARLEY_VAR/memory-vectors.db}"
PARLEY_ASR_PYTHON=$python
[ "${ASR_ENGINE:-}" != funasr ] || PARLEY_ASR_PYTHON=$PWD/.venv-torch/bin/python
export PARLEY_ASR_PYTHON
if [ "${LLM_ENGINE:-}" = llama_cpp ]; then
    export LLM_LLAMA_CPP_PYTHON="${LLM_LLAMA_CPP_PYTHON:-$PWD/.venv-llama/bin/python}"
fi
mkdir -p "$PARLEY_VAR/log"
exec "$python" -m supervisor.supervisord --nodaemon --configuration deploy/supervisord.conf
