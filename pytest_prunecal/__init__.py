"""Gate pruned networks on calibration and corruption robustness with pytest."""
