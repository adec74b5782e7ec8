"""Foreign checkpoints: find, read, check, adapt and write them."""
