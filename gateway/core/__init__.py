"""Pure decisions: who speaks now, what was heard, what the next prompt says."""
