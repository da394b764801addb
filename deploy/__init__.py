"""What sets Parley up and runs it on one machine."""
