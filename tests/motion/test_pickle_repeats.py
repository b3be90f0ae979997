"""Array headers that repeat: what is taken from an earlier one is what the machine would have made."""

import io
import pickle
import random

import joblib
import numpy as np
import pytest

from grail_framework.motion import pickle_machine
from grail_framework.motion.pickle_machine import run
from grail_framework.motion.pickle_values import RefusedError


def content():
    frames = np.arange(12, dtype=np.float32).reshape(4, 3)
    return {
        "points": {k: frames + k for k in range(6)},
        "wide": [np.asfortranarray(np.ones((2, 300))) * k for k in range(3)],
        "same": [np.arange(3, dtype=">i4"), np.arange(3, dtype=">i4"), np.zeros((0, 3)), np.zeros((0, 3))],
    }


def dumped(value, **options):
    stream = io.BytesIO()
    joblib.dump(value, stream, **options)
    return bytearray(stream.getvalue())


def outcome(data):
    """Return what a file comes to: its value as text, or the kind of its error."""
    try:
        return repr(run(bytearray(data)))
    except RefusedError:
        return "refused"
    except Exception as error:
        return type(error).__name__


@pytest.fixture
def taken(monkeypatch):
    """Count the headers that are taken from an earlier one."""
    counted = []
    original = pickle_machine.take_header

    def counting(machine, pos):
        found = original(machine, pos)
        counted.append(found is not None)
        return found

    monkeypatch.setattr(pickle_machine, "take_header", counting)
    return counted


def same(left, right):
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left.dtype == right.dtype.newbyteorder("=") and left.shape == right.shape and np.array_equal(left, right)


def test_repeats_are_taken_and_are_right(taken):
    value = content()
    assert same(run(dumped(value, protocol=4)), value)
    # A header that spells out names or a dtype for the first time is not kept; the next of its shape is.
    assert (len(taken), sum(taken)) == (13, 6)


def test_files_that_choose_their_memo_are_run_in_full(taken):
    value = content()
    assert same(run(dumped(value, protocol=3)), value)
    assert not any(taken)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_files_come_to_the_same_without_the_shortcut(seed, monkeypatch):
    data, rng = dumped(content(), protocol=4), random.Random(seed)
    damaged = []
    for _ in range(80):
        copy = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            copy[rng.randrange(len(copy))] = rng.choice([rng.randrange(256), *b"h}(u\x94b\x88K\x86N0q"])
        damaged.append(copy)
    quick = [outcome(copy) for copy in damaged]
    monkeypatch.setattr(pickle_machine, "take_header", lambda machine, pos: None)
    assert quick == [outcome(copy) for copy in damaged]


def test_a_state_changed_later_does_not_change_what_comes_after(taken):
    """The state of an array is a dictionary in the memo; a file may set an item of it between two arrays."""
    data = dumped([np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((2, 2))], protocol=4)
    plain = run(bytearray(data))
    assert sum(taken) >= 1
    states = [index for index, value in memo_of(data).items() if isinstance(value, dict) and "shape" in value]
    attack = pickle.BINGET + bytes([states[1]]) + pickle.SHORT_BINUNICODE + b"\x05order" + pickle.SHORT_BINUNICODE + b"\x01F"
    attack += pickle.SETITEM + pickle.POP
    last = data.rindex(b"b", 0, len(data) - 32 - 16) + 1
    again = bytearray(data)
    pad = again[last]
    behind = last + 1 + pad + 32
    again[behind:behind] = attack
    assert same(run(again), plain)


def memo_of(data):
    machines = []
    original = pickle_machine.Machine

    class Kept(original):
        def __init__(self, content):
            super().__init__(content)
            machines.append(self)

    pickle_machine.Machine = Kept
    try:
        run(bytearray(data))
    finally:
        pickle_machine.Machine = original
    return machines[0].memo
