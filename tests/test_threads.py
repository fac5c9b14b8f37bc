"""Threads that do one piece of work after the other."""

from __future__ import annotations

import threading

import pytest
from waiting import wait_until

from incoming_wsgi.threads import Threads


@pytest.fixture
def threads():
    threads = Threads("incoming-test")
    yield threads
    threads.close()
    wait_until(lambda: count() == 0, "the end of the threads")


def count() -> int:
    return sum(thread.name == "incoming-test" for thread in threading.enumerate())


def test_no_work_waits_for_another(threads):
    barrier = threading.Barrier(3, timeout=30)
    for _ in range(3):
        threads.run(barrier.wait)
    wait_until(lambda: barrier.n_waiting == 0 and not barrier.broken, "all at once")


def test_a_thread_that_is_there_does_the_next_work(threads):
    who, done = [], threading.Semaphore(0)

    def work() -> None:
        who.append(threading.get_ident())
        done.release()

    for number in range(1, 20):
        threads.run(work)
        done.acquire()
        wait_until(lambda: len(threads._idle) == 1, "the end of the work")
        assert len(who) == number
    assert len(set(who)) == 1


def test_a_thread_without_work_ends_after_a_while(threads, monkeypatch):
    monkeypatch.setattr("incoming_wsgi.threads.IDLE_S", 0.01)
    done = threading.Event()
    threads.run(lambda: None)
    wait_until(lambda: count() == 0, "its end")
    threads.run(done.set)
    assert done.wait(30)


def test_what_is_under_way_ends_after_the_close(threads):
    go_on, done = threading.Event(), threading.Event()

    def work() -> None:
        go_on.wait(30)
        done.set()

    threads.run(work)
    threads.close()
    go_on.set()
    assert done.wait(30)


def test_work_for_which_the_system_gives_no_thread_is_not_begun(threads, monkeypatch):
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    begun = []
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            threads.run(lambda: begun.append(1))
    done = threading.Event()
    threads.run(done.set)
    assert done.wait(30)
    assert begun == []
