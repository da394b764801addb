"""What more than one service needs today: wire models, errors, settings, logs, metrics, health."""
