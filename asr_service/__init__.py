"""asr_service: PCM16 in; where speech begins and ends, and what was said, out."""
