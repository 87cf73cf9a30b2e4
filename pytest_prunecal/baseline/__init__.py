"""Files that people review."""
