#!/bin/sh
# Make .venv-cosyvoice hold what a lock names, PyTorch, and the classes of CosyVoice. Usage: cosyvoice.sh STAMP LOCK
#
# CosyVoice is no package: its classes lie in a checkout of its source, which TTS_COSYVOICE_SOURCE names, or, those of
# CosyVoice 1 and 2 alone, inside the wheel that the lock tts-cosyvoice-classes names; that folder is taken out of it and
# the rest is left. PyTorch and torchaudio are pinned by their versions alone, for the reason that torch.sh gives. TORCH
# and TORCHAUDIO name other builds.
set -eu
stamp=$1 lock=$2
venv=.venv-cosyvoice
classes=deploy/locks/tts-cosyvoice-classes.txt
built="conformer,openai-whisper" # there are no wheels of these; they build without a compiler

fail() {
    tail -n 5 "$venv/setup.log" >&2
    echo "$1 could not be installed. Is the Python package index reachable? All output: $venv/setup.log" >&2
    exit 1
}
quiet() {
    "$venv/bin/python" -m pip "$@" --disable-pip-version-check --no-input --progress-bar off >>"$venv/setup.log" 2>&1
}

[ -x "$venv/bin/python" ] || .venv/bin/python -m venv "$venv"
: >"$venv/setup.log"
echo "Installing the packages of $lock in $venv …"
# The lock is whole, so nothing is looked up beside it: that would ask for PyTorch, which has no hash here.
quiet install --no-deps --require-hashes --only-binary :all: --no-binary "$built" -r "$lock" || fail "The packages"
echo "Installing PyTorch, which is large …"
quiet install "${TORCH:-torch==2.13.0}" || fail "PyTorch"
quiet install --no-deps "${TORCHAUDIO:-torchaudio==2.11.0}" || fail "torchaudio"
# What of torchaudio is needed is written in Python; its one library wants those of a GPU, and is loaded if it is there.
"$venv/bin/python" - <<'END' >>"$venv/setup.log" 2>&1 || fail "torchaudio"
import glob
import os
import sysconfig

import torch

if torch.version.cuda is None:
    for library in glob.glob(sysconfig.get_path("purelib") + "/torchaudio/lib/*.so"):
        os.remove(library)
import torchaudio.compliance.kaldi
END
# Whisper's package is here for its tokenizer and its spectrogram, which need no kernels of a GPU.
if "$venv/bin/python" -m pip check 2>&1 | grep -v -e "^openai-whisper .* requires triton" -e "^No broken" >>"$venv/setup.log"; then
    fail "What the packages need of each other"
fi
if [ -z "${TTS_COSYVOICE_SOURCE:-}" ] && ! [ "$venv/source/stamp" -nt "$classes" ]; then
    echo "Taking the classes of CosyVoice 1 and 2 out of the wheel that carries them …"
    quiet download --no-deps --require-hashes --only-binary :all: --dest "$venv/source" -r "$classes" || fail "The classes"
    "$venv/bin/python" - "$venv"/source/*.whl "$venv/source" <<'END' >>"$venv/setup.log" 2>&1 || fail "The classes"
import os
import sys
import zipfile

wheel, out = sys.argv[1:]
inside = "xinference/thirdparty/"
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        folder, _, path = name.removeprefix(inside).partition("/")
        if name.startswith(inside) and folder in ("cosyvoice", "matcha") and not path.endswith(".pt"):
            os.makedirs(os.path.dirname(os.path.join(out, folder, path)), exist_ok=True)
            with open(os.path.join(out, folder, path), "wb") as file:
                file.write(archive.read(name))
os.remove(wheel)
END
    touch "$venv/source/stamp"
fi
touch "$stamp"
