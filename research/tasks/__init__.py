"""Tasks: what is trained. One file is one task, of pure functions over its state."""
