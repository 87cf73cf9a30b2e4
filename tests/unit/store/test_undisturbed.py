"""Imports are not broken off by signals; what these ask for comes afterwards."""

import signal
import sys
import threading

import pytest

from pytest_prunecal.store.undisturbed import import_undisturbed

SIGNALLED = """
import signal
signal.raise_signal(signal.SIGINT)
signal.raise_signal(signal.SIGINT)
finished = True
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in whose import a signal comes, twice."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "signalled.py").write_text(SIGNALLED)
    yield "signalled"
    sys.modules.pop("signalled", None)


def test_a_handler_runs_once_the_import_is_done(module):
    found = []
    before = signal.signal(signal.SIGINT, lambda number, _: found.append((number, module in sys.modules)))
    try:
        assert import_undisturbed(module).finished
        assert found == [(signal.SIGINT, True)] * 2
        signal.raise_signal(signal.SIGINT)
        assert len(found) == 3
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_exception_of_a_handler_leaves_a_whole_module(module):
    # Set here, as a shell starts what runs in the background with the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            import_undisturbed(module)
    finally:
        signal.signal(signal.SIGINT, before)
    assert sys.modules[module].finished


def test_a_failing_import_says_so_and_leaves_the_handlers():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ModuleNotFoundError, match="no_such_module_here"):
        import_undisturbed("no_such_module_here")
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_it_is_a_plain_import(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_threaded.py").write_text("")
    thread = threading.Thread(target=import_undisturbed, args=("my_threaded",))
    thread.start()
    thread.join()
    assert sys.modules.pop("my_threaded")
