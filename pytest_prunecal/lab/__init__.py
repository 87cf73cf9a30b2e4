"""Measuring: knows torch, never pytest, and judges nothing."""
