"""The built-in data sets: name -> where its loader is. Importing this imports neither torch nor numpy."""

DATASETS: dict[str, str] = {
    "digits": "pytest_prunecal.lab.datasets.digits:digits",
    "cifar10": "pytest_prunecal.lab.datasets.cifar:cifar10",
    "cifar100": "pytest_prunecal.lab.datasets.cifar:cifar100",
    "folder": "pytest_prunecal.lab.datasets.folder:folder",
    "arrays": "pytest_prunecal.lab.datasets.arrays:arrays",
}
