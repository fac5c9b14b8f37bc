"""The thread of each process that does what is due."""

from __future__ import annotations

import os
import threading

import pytest
from webtest import TestApp

from incoming_wsgi import Incoming


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork with threads
def test_the_first_requests_after_a_fork_start_one_thread(tmp_path, monkeypatch):
    incoming = Incoming(tmp_path / "incoming", on_finished=lambda upload: None)
    TestApp(incoming).get("/health")  # in the parent it runs
    requests, started, second = 8, [], threading.Event()
    start = threading.Thread.start

    def start_slowly(thread: threading.Thread) -> None:
        if thread.name == "incoming-background":
            started.append(thread)
            if len(started) > 1:
                second.set()
            second.wait(0.5)  # which is what must not come
        start(thread)

    barrier = threading.Barrier(requests)

    def request() -> None:
        barrier.wait()
        TestApp(incoming).get("/health")

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            threads = [threading.Thread(target=request) for _ in range(requests)]
            monkeypatch.setattr(threading.Thread, "start", start_slowly)
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            code = 0 if len(started) == 1 else 2
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    incoming.close()
    assert code == 0
