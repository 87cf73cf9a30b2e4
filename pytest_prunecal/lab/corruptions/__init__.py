"""The image corruptions of CIFAR-10-C, generated; `generate.corrupt` does the work.

Source: D. Hendrycks and T. Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, arXiv 1903.12261.
"""
