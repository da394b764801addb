"""llm_service: an OpenAI-compatible front for a llama.cpp server that it starts and supervises."""
