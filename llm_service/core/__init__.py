"""Pure decisions of the language service: reading an upstream's events, breaking markers, timing restarts."""
