#!/bin/sh
# Make .venv hold exactly what a lock names. Usage: setup.sh LOCK STAMP
# The locks are whole, so nothing is looked up beside them. Needs Python 3.11 or newer with venv; wheels only, so no compiler.
set -eu
lock=$1 stamp=$2

python=""
for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
    if command -v "$name" >/dev/null 2>&1 && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        python=$name
        break
    fi
done
if [ -z "$python" ]; then
    echo "Parley needs Python 3.11 or newer; none was found. Install it (Debian: apt install python3 python3-venv)." >&2
    exit 1
fi
if [ ! -x .venv/bin/python ]; then
    echo "Setting up Parley in .venv with $($python --version) …"
    if ! "$python" -m venv .venv; then
        rm -rf .venv
        echo "Python cannot make a virtual environment. Install its venv module (Debian: apt install python3-venv)." >&2
        exit 1
    fi
fi

total=$(grep -c '==' "$lock")
echo "Installing $total packages from $lock …"
rm -f .venv/setup.failed
{
    .venv/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off \
        --no-deps --only-binary :all: --require-hashes -r "$lock" 2>&1 || touch .venv/setup.failed
} | tee .venv/setup.log | awk -v total="$total" '
    /^Collecting/ { sub(/ .*/, "", $2); printf "  %d of %d: %s\n", ++count, total, $2; fflush() }
    /^Installing collected packages/ { print "  unpacking …"; fflush() }'
if [ -e .venv/setup.failed ]; then
    tail -n 5 .venv/setup.log >&2
    echo "The packages could not be installed. Is the Python package index reachable? All output: .venv/setup.log" >&2
    exit 1
fi
touch "$stamp"
