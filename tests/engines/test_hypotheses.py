"""The bookkeeping of a beam search, on hand-made candidates."""

import math

from topicgen.engines.hypotheses import Hypotheses

STOP = 1


def test_completions_that_end_in_one_step_compete() -> None:
    """Two beams; one completion has ended early with a low mean, and two end together later with better ones."""
    search = Hypotheses(beams=2, stop=STOP)
    search.advance([-1.0, -1.1, -9.0], [0, 0, 0], [5, 6, 7])
    search.advance([-4.0, -1.5, -1.6], [0, 0, 1], [STOP, 8, 9])
    assert [c.ids for c in search.ended] == [(5,)]
    search.advance([-1.8, -1.9, -9.0], [0, 1, 0], [STOP, STOP, 8])
    assert search.full
    assert [c.ids for c in search.best()] == [(5, 8), (6, 9)]
    assert math.isclose(search.best()[1].score, math.exp(-1.9 / 3))


def test_nothing_ends_after_as_many_as_beams_have_ended() -> None:
    search = Hypotheses(beams=1, stop=STOP)
    search.advance([-1.0, -2.0], [0, 0], [5, 6])
    search.advance([-3.0, -4.0], [0, 0], [STOP, 6])
    search.advance([-4.0, -5.0], [0, 0], [STOP, 6])
    assert [c.ids for c in search.best()] == [(5,)]
