"""The built-in networks, by name. Importing this package does not import torch."""

MODELS: dict[str, str] = {
    "vgg19": "pytest_prunecal.lab.models.vgg:vgg19",
    "resnet20": "pytest_prunecal.lab.models.resnet:resnet20",
    "resnet56": "pytest_prunecal.lab.models.resnet:resnet56",
    "resnet110": "pytest_prunecal.lab.models.resnet:resnet110",
    "preresnet110": "pytest_prunecal.lab.models.preresnet:preresnet110",
    "preresnet164": "pytest_prunecal.lab.models.preresnet:preresnet164",
}
"""Model name -> `module:callable`; the callable takes `num_classes`, `in_channels` and `width`."""
