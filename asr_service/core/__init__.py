"""Pure decisions: where speech begins and ends, and what of a reading is fixed."""
