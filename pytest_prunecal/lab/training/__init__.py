"""Training: the loop, its optimiser, its images."""
