"""Reports: pure functions from what a run found to text."""
