"""The words: what a cell, a metric, a protocol and a measurement are. Neither pytest nor torch."""
