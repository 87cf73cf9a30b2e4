"""The project's checks by name: `nox` runs what is fast, `nox -l` lists them, `.ci/run` runs them all.

They share the environment that nox is in (`pip install -e '.[dev,torchvision]'`): torch takes gigabytes.
"""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "contract", "docs", "tests", "gate"]


@nox.session
def lint(session: nox.Session) -> None:
    """Style and layout of the code, the changelog's fragments, the hooks of pre-commit."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("towncrier", "build", "--draft", "--version=next", silent=True)
    session.run("pre-commit", "validate-config", ".pre-commit-config.yaml")


@nox.session
def types(session: nox.Session) -> None:
    """Types, strictly."""
    session.run("mypy")


@nox.session
def contract(session: nox.Session) -> None:
    """Imports: folders are rings and none points outward."""
    session.run("lint-imports")


@nox.session
def docs(session: nox.Session) -> None:
    """The site, without a single warning."""
    session.run("mkdocs", "build", "--strict", "--quiet", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def tests(session: nox.Session) -> None:
    """The tests that the README's command runs, or those that the arguments select."""
    session.run("pytest", "-n", "2", "-m", "not slow", *session.posargs)


@nox.session
def gate(session: nox.Session) -> None:
    """The shipped baselines."""
    session.run("pytest", "--prunecal-models=vgg19,resnet20", "-n", "2")


@nox.session
def slow(session: nox.Session) -> None:
    """Tests that take minutes, or real images: PRUNECAL_DATA, PRUNECAL_CHECKPOINT."""
    # The campaign's cases are the same every time here; without a seed it draws new ones.
    session.run("pytest", "-n", "2", "-m", "slow", "-rs", "--campaign-seed=1207988999", *session.posargs)
