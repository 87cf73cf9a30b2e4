"""Statistics: what comparing a measurement with its baseline says."""
