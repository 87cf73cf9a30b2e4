"""Knows pytest, never torch: options, what is collected, outcomes, accepting."""
