"""Pure decisions that more than one service needs."""
