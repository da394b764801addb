"""The small recogniser that Parley brings along, and the scripts that make it."""

from pathlib import Path

MODEL_PATH = Path(__file__).with_name("whisper-demo")
