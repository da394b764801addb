"""These tests need llama-cpp-python; they run in an environment of its own, by `make test-llama`."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("llama_cpp") else ["test_llm_*"]
