"""What a model's output is worth, each number with its floor, interval and unit."""
