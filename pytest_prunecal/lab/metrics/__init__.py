"""Metrics: pure functions over logits and labels, and the counts that describe a network's size."""
