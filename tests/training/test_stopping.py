"""What a signal does to a run of training."""

import signal
import threading

import pytest

from topicgen.errors import TerminatedError
from topicgen.training.stopping import StopSignal

KINDS = [(signal.SIGTERM, TerminatedError), (signal.SIGINT, KeyboardInterrupt)]


@pytest.mark.parametrize(("number", "ending"), KINDS)
def test_the_first_is_noted_and_the_second_ends_at_once(number: signal.Signals, ending: type[BaseException]) -> None:
    before, stop = signal.getsignal(number), StopSignal()
    with stop.heard():
        assert not stop.came
        signal.raise_signal(number)
        assert stop.came
        with pytest.raises(ending):
            stop.end()
        with pytest.raises(ending):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_outside_the_main_thread_handlers_stay() -> None:
    before = signal.getsignal(signal.SIGTERM)
    found = []

    def listen() -> None:
        with StopSignal().heard():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert found == [before]
