# Every command of Parley. `make` alone lists them.
SHELL := /bin/sh
PORT ?= 8000
export PORT WAV TEXT PERSONA EAGER
PY := .venv/bin/python
PY_TORCH := .venv-torch/bin/python
PY_LLAMA := .venv-llama/bin/python
PY_COSYVOICE := .venv-cosyvoice/bin/python
CODE := gateway asr_service llm_service tts_service shared deploy docs tests

.DEFAULT_GOAL := help
.PHONY: help run talk test test-torch test-llama test-cosyvoice bench-asr bench-streams bench-candidates bench-endpointing bench-llm bench-long bench-cancel bench-tts bench-segmenter bench-echo laws bench-speculation bench-barge-in bench-search bench-memory bench-killed check lint type cover docs format lock clean

help:  ## list the commands
	@sed -nE 's/^([a-z-]+):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

.venv/run.stamp: deploy/locks/local.txt
	@sh deploy/setup.sh deploy/locks/local.txt $@

.venv/dev.stamp: deploy/locks/dev.txt
	@sh deploy/setup.sh deploy/locks/dev.txt $@ && touch .venv/run.stamp

run: .venv/run.stamp $(if $(filter funasr,$(ASR_ENGINE)),.venv-torch/run.stamp) $(if $(filter llama_cpp,$(LLM_ENGINE)),.venv-llama/run.stamp) $(if $(filter cosyvoice,$(TTS_ENGINE)),.venv-cosyvoice/run.stamp)  ## set up and start the four services on loopback; PORT=8000 moves them; Ctrl-C stops them
	@exec sh deploy/run.sh

talk: .venv/run.stamp  ## say WAV=question.wav (or TEXT="…") to a running Parley, write reply.wav
	@$(PY) -m gateway.talk --url http://127.0.0.1:$(PORT) --wav "$$WAV" --text "$$TEXT" --persona "$$PERSONA" $(if $(EAGER),--eager)

test: .venv/dev.stamp  ## set up and run the tests
	@$(PY) -m pytest -n 2 --dist loadfile

.venv-torch/dev.stamp: .venv/dev.stamp deploy/torch.sh deploy/locks/dev.txt deploy/locks/asr-funasr.txt
	@sh deploy/torch.sh $@ deploy/locks/dev.txt deploy/locks/asr-funasr.txt && touch .venv-torch/run.stamp

.venv-torch/run.stamp: .venv/run.stamp deploy/torch.sh deploy/locks/asr-funasr.txt
	@sh deploy/torch.sh $@ deploy/locks/asr-funasr.txt

test-torch: .venv-torch/dev.stamp  ## set up and run the tests of engines that need PyTorch
	@OMP_NUM_THREADS=1 $(PY_TORCH) -m pytest -n 2 --dist loadfile tests/torch

.venv-llama/dev.stamp: .venv/dev.stamp deploy/llama.sh deploy/locks/dev.txt deploy/locks/llm-llama.txt
	@sh deploy/llama.sh $@ deploy/locks/dev.txt deploy/locks/llm-llama.txt && touch .venv-llama/run.stamp

.venv-llama/run.stamp: .venv/run.stamp deploy/llama.sh deploy/locks/llm-llama.txt
	@sh deploy/llama.sh $@ deploy/locks/llm-llama.txt

test-llama: .venv-llama/dev.stamp  ## set up and run the tests of the engine llama_cpp, which is built here
	@$(PY_LLAMA) -m pytest -n 2 --dist loadfile tests/llama

COSYVOICE_LOCKS := deploy/locks/tts-cosyvoice-classes.txt deploy/cosyvoice.sh

.venv-cosyvoice/dev.stamp: .venv/dev.stamp $(COSYVOICE_LOCKS) deploy/locks/tts-cosyvoice-dev.txt
	@sh deploy/cosyvoice.sh $@ deploy/locks/tts-cosyvoice-dev.txt && touch .venv-cosyvoice/run.stamp

.venv-cosyvoice/run.stamp: .venv/run.stamp $(COSYVOICE_LOCKS) deploy/locks/tts-cosyvoice.txt
	@sh deploy/cosyvoice.sh $@ deploy/locks/tts-cosyvoice.txt

test-cosyvoice: .venv-cosyvoice/dev.stamp  ## set up and run the tests of the engine cosyvoice
	@OMP_NUM_THREADS=1 TQDM_DISABLE=1 $(PY_COSYVOICE) -m pytest -n 2 --dist loadfile tests/cosyvoice

bench-asr: .venv/dev.stamp  ## what hearing costs beside the naive designs, CPU seconds for a second of speech
	@$(PY) -m tests.bench.asr_cost

bench-streams: .venv/dev.stamp  ## 1, 4 and 16 people who speak at once: delays and memory
	@$(PY) -m tests.bench.asr_streams

bench-candidates: .venv/dev.stamp  ## how often the text at the pause is the text of the final
	@$(PY) -m tests.bench.asr_candidates

bench-endpointing: .venv/dev.stamp  ## when an utterance ends, on a corpus with pauses and noise
	@$(PY) -m tests.bench.endpointing

bench-long: .venv/dev.stamp  ## a talk of 500 turns in a context of 2,048 tokens
	@$(PY) -m tests.bench.llm_long

bench-cancel: .venv-llama/dev.stamp  ## how soon a reply that nobody wants is over
	@$(PY) -m tests.bench.llm_cancel

bench-echo: .venv/dev.stamp  ## Parley's own voice in the microphone: false starts, and talkers over it
	@$(PY) -m tests.bench.asr_echo

bench-tts: .venv/dev.stamp  ## speech: the first audio of one reply and of 16 at once, and how soon a cancel is over
	@$(PY) -m tests.bench.tts_first_audio

bench-segmenter: .venv/dev.stamp  ## what cutting a token's text into segments costs
	@$(PY) -m tests.bench.tts_segmenter

bench-llm: .venv-llama/dev.stamp  ## chats at once: one after the other, llama.cpp's server, our batches
	@$(PY_LLAMA) -m tests.bench.llm_batching

laws: .venv/dev.stamp  ## a hundred thousand conversations by chance: no order of events breaks a law
	@$(PY) -m tests.bench.conversation_laws

bench-speculation: .venv/dev.stamp  ## endpoint to first audio, with answers prepared at the pause and without
	@$(PY) -m tests.bench.gateway_speculation

bench-barge-in: .venv/dev.stamp  ## speech over an answer: how soon it stops, and its engines know
	@$(PY) -m tests.bench.gateway_barge_in

bench-search: .venv/dev.stamp  ## search over 100,000 turns in four scripts
	@$(PY) -m tests.bench.store_search

bench-memory: .venv/dev.stamp  ## what comes back of earlier talks, how right and how soon; 100,000 memories
	@$(PY) -m tests.bench.memory

bench-killed: .venv/dev.stamp  ## a gateway killed at each message, and at random under load: what is lost
	@$(PY) -m tests.bench.gateway_killed

check: lint type docs cover test test-torch test-llama test-cosyvoice  ## exactly what CI runs

lint: .venv/dev.stamp
	@$(PY) -m ruff format --check $(CODE)
	@$(PY) -m ruff check $(CODE)

type: .venv/dev.stamp
	@$(PY) -m mypy

cover: .venv/dev.stamp  ## full branch coverage of every core by its own tests alone
	@$(PY) -m tests.support.own_coverage

docs: .venv/dev.stamp  ## fail when a generated page differs from the code; `make docs WRITE=1` writes them
	@$(PY) -m docs.generate $(if $(WRITE),--write,--check)

format: .venv/dev.stamp  ## format the code
	@$(PY) -m ruff format $(CODE) && $(PY) -m ruff check --fix $(CODE)

lock: .venv/dev.stamp  ## solve the locks again from pyproject.toml
	@sh deploy/lock.sh

clean:  ## remove the environment and caches; conversations in var/ stay
	@rm -rf .venv .venv-cosyvoice .venv-llama .venv-torch .pytest_cache .mypy_cache .ruff_cache .hypothesis build
