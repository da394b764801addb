"""What the speech service decides: where text is cut and which voice reads it. Pure; no clocks, no input, no output."""
