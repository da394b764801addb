"""tts_service: text deltas in, speakable segments and their PCM16 out."""
