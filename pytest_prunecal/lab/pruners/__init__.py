"""The built-in pruners, one a file, and what every pruner is made of."""
