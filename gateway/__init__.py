"""The gateway: one WebSocket in which a person talks, is understood and is answered aloud."""
