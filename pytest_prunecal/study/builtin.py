"""What ships with the plugin, by name: where each is, as `package.module:attribute`, one line a thing.

Nothing is imported before it is needed, so that knowing a name takes neither torch nor numpy.
"""

from pytest_prunecal.study.pruner import Pruner

MODELS: dict[str, str] = {
    "vgg19": "pytest_prunecal.lab.models.vgg:vgg19",
    "resnet20": "pytest_prunecal.lab.models.resnet:resnet20",
    "resnet56": "pytest_prunecal.lab.models.resnet:resnet56",
    "resnet110": "pytest_prunecal.lab.models.resnet:resnet110",
    "preresnet110": "pytest_prunecal.lab.models.preresnet:preresnet110",
    "preresnet164": "pytest_prunecal.lab.models.preresnet:preresnet164",
}
"""Model name -> `module:callable`; the callable takes `num_classes` and `width`."""

_PRUNERS = "pytest_prunecal.lab.pruners"
PRUNERS: dict[str, Pruner] = {
    "weight": Pruner(f"{_PRUNERS}.weight:prune"),
    "filter": Pruner(f"{_PRUNERS}.filter:prune"),
    "channel": Pruner(f"{_PRUNERS}.channel:prune", slimming=True),
    "conv_weight": Pruner(f"{_PRUNERS}.weight:prune_convs"),
    "gradual": Pruner(f"{_PRUNERS}.gradual:prune"),
    "2:4": Pruner(f"{_PRUNERS}.two_four:prune", levels=()),
    "int8": Pruner(f"{_PRUNERS}.int8:prune", levels=(), tunes=False, extra="onnx"),
}
"""Pruner name -> its row, whose function is named and not imported."""

GRAPH_PRUNERS = ("filter", "channel")
"""Pruners that need Torch-Pruning for networks that do not declare which channels go together."""

DATASETS: dict[str, str] = {
    "digits": "pytest_prunecal.lab.datasets.digits:digits",
    "cifar10": "pytest_prunecal.lab.datasets.cifar:cifar10",
    "cifar100": "pytest_prunecal.lab.datasets.cifar:cifar100",
    "folder": "pytest_prunecal.lab.datasets.folder:folder",
    "arrays": "pytest_prunecal.lab.datasets.arrays:arrays",
}
"""Data set name -> its loader, `(root, **options) -> pytest_prunecal.Dataset`."""

CORRUPTIONS: dict[str, str] = {
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
"""Corruption name -> its function, `(images, severity, draws) -> images`."""

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

ENGINES: dict[str, str] = {
    "local": "pytest_prunecal.lab.engines.local:LocalEngine",
}
"""Engine name -> its class, called with (setup, store, sources); a `pytest_prunecal.lab.engines.Engine`."""
