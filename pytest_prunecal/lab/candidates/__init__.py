"""Candidates: finished networks, one form a file, and measuring them."""
