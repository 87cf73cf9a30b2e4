"""Who is told to terminate: once an interrupt, and nobody else's signals."""

import signal
import threading

import pytest

from pytest_prunecal.gate.terminated import Terminated


@pytest.fixture(params=[name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)])
def number(request):
    """A signal that nobody handles."""
    found = getattr(signal, request.param)
    before = signal.signal(found, signal.SIG_DFL)
    yield found
    signal.signal(found, before)


def test_the_first_interrupts_and_the_second_kills(number):
    session = Terminated()
    session.pytest_sessionstart()
    with pytest.raises(KeyboardInterrupt, match=f"{number.name}: ends as after Ctrl-C"):
        signal.raise_signal(number)
    assert signal.getsignal(number) is signal.SIG_DFL


def test_what_is_being_written_is_written_to_its_end(number):
    session = Terminated()
    session.pytest_sessionstart()
    session.pytest_sessionfinish()
    signal.raise_signal(number)
    assert signal.getsignal(number) is signal.SIG_DFL


def test_afterwards_all_is_as_it_was(number):
    session = Terminated()
    session.pytest_sessionstart()
    assert signal.getsignal(number) is not signal.SIG_DFL
    session.pytest_unconfigure()
    assert signal.getsignal(number) is signal.SIG_DFL


@pytest.mark.parametrize("when", ["before", "after"])
def test_handlers_of_others_stay(number, when):
    def own(*_): ...

    session = Terminated()
    if when == "after":
        session.pytest_sessionstart()
    signal.signal(number, own)
    if when == "before":
        session.pytest_sessionstart()
    assert signal.getsignal(number) is own
    session.pytest_unconfigure()
    assert signal.getsignal(number) is own


def test_signals_that_are_ignored_stay_ignored(number):  # as `nohup` has it
    signal.signal(number, signal.SIG_IGN)
    session = Terminated()
    session.pytest_sessionstart()
    assert signal.getsignal(number) is signal.SIG_IGN


def test_in_another_thread_nothing_is_handled(number):
    session = Terminated()

    def run():
        session.pytest_sessionstart()
        session.pytest_unconfigure()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert signal.getsignal(number) is signal.SIG_DFL
