from __future__ import annotations

import logging

from grail_framework.logging import stages
from grail_framework.logging.stages import StageLog, count, listening, stage


def test_who_listens_hears_stages_and_counts():
    heard = []
    stage("nobody hears this")
    count(1, 2)
    with listening(lambda *what: heard.append(what)):
        stage("kernels")
        count(3, 70)
        with listening(None):
            stage("nor this")
        count(4, 70)
    stage("nor that")
    assert heard == [("kernels",), ("kernels", 3, 70), ("kernels", 4, 70)]


def test_the_log_has_what_was_done_and_how_long_it_took(caplog, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(stages.time, "perf_counter", lambda: now[0])
    passed_on = []
    log = StageLog(logging.getLogger("grail_framework.x"), lambda *what: passed_on.append(what))
    with caplog.at_level(logging.INFO):
        for what, seconds in (("scene", 0.4), ("kernels", 62.5), ("training", 9.0)):
            log(what)
            now[0] += seconds
            log(what, 1, 2)
        log("")
    assert caplog.messages == ["scene", "kernels", "kernels took 62.5 s", "training", "training took 9.0 s"]
    assert passed_on[:3] == [("scene", 0, 0), ("scene", 1, 2), ("kernels", 0, 0)]
    assert passed_on[-1] == ("", 0, 0)
