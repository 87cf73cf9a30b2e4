"""The built-in data sets: name -> where its loader is. Importing this imports neither torch nor numpy."""

DATASETS: dict[str, str] = {
    "digits": "pytest_prunecal.datasets.digits:digits",
    "cifar10": "pytest_prunecal.datasets.cifar:cifar10",
    "cifar100": "pytest_prunecal.datasets.cifar:cifar100",
    "folder": "pytest_prunecal.datasets.folder:folder",
    "arrays": "pytest_prunecal.datasets.arrays:arrays",
}
