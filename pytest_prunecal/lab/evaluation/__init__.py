"""Evaluation: the test sets, the scores, how sure they are."""
