"""The image corruptions of CIFAR-10-C, generated: which there are and where each is written.

Importing this package imports neither torch nor numpy; `generate.corrupt` does the work.

Source: D. Hendrycks and T. Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, arXiv 1903.12261.
"""

BENCHMARK: tuple[str, ...] = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)
"""The 15 corruptions that mPC and its relatives average over, in the benchmark's order."""

EXTRA: tuple[str, ...] = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""Four more that the benchmark holds out for validation; never part of mPC."""

REGISTRY: dict[str, str] = {
    "gaussian_noise": "pytest_prunecal.lab.corruptions.noise:gaussian_noise",
    "shot_noise": "pytest_prunecal.lab.corruptions.noise:shot_noise",
    "impulse_noise": "pytest_prunecal.lab.corruptions.noise:impulse_noise",
    "defocus_blur": "pytest_prunecal.lab.corruptions.blur:defocus_blur",
    "glass_blur": "pytest_prunecal.lab.corruptions.blur:glass_blur",
    "motion_blur": "pytest_prunecal.lab.corruptions.motion:motion_blur",
    "zoom_blur": "pytest_prunecal.lab.corruptions.zoom:zoom_blur",
    "snow": "pytest_prunecal.lab.corruptions.weather:snow",
    "frost": "pytest_prunecal.lab.corruptions.frost:frost",
    "fog": "pytest_prunecal.lab.corruptions.weather:fog",
    "brightness": "pytest_prunecal.lab.corruptions.photometric:brightness",
    "contrast": "pytest_prunecal.lab.corruptions.photometric:contrast",
    "elastic_transform": "pytest_prunecal.lab.corruptions.elastic:elastic_transform",
    "pixelate": "pytest_prunecal.lab.corruptions.digital:pixelate",
    "jpeg_compression": "pytest_prunecal.lab.corruptions.digital:jpeg_compression",
    "speckle_noise": "pytest_prunecal.lab.corruptions.noise:speckle_noise",
    "gaussian_blur": "pytest_prunecal.lab.corruptions.blur:gaussian_blur",
    "spatter": "pytest_prunecal.lab.corruptions.spatter:spatter",
    "saturate": "pytest_prunecal.lab.corruptions.photometric:saturate",
}
"""Corruption name -> "module:function"; every function is (images, severity, draws) -> images."""
