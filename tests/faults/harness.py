"""Uploads without end, while the line, the processes and the app fail at random.

    figures = run(folder, seconds=20, seed="4")
    assert not any(figures.faults.values()), figures.table()

gunicorn with two workers on the real application; clients of four kinds (`senders.py`) and late
writers (`liars.py`) over two bad lines (`bad_line.py`); somebody who kills (`killer.py`); an app of
many moods in a process of its own (`moody_app.py`). When the time is over the faults end, all
uploads are seen to their end, and `verdict.py` looks at what there is.

The seed chooses files, clients and faults; what meets what is up to the machine, so that a seed
does not repeat a run.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from bad_line import BadLine
from deliveries import Deliveries
from figures import Figures, worst_recovery
from instructions import Instructions
from jobs import Job
from killer import Killer
from liars import Liars
from proxy import Proxy, tcp_proxy
from senders import send
from servers import Server, free_port, gunicorn
from verdict import judge

from incoming_wsgi.client import IncomingClient
from incoming_wsgi.errors import IncomingError

__all__ = ["run"]

CLIENTS = 5
LIARS = 3
LEASE_S = 6.0
# Longer than a lease: an upload is held by whoever calls its app, awake or not.
FREEZE_S = 9.0
# An app may still be at it when whoever has called it is dead, and is called again after a lease.
SLOW_APP_S = 1.5
ENDING_S = 150.0
SETTINGS = {
    "INCOMING_HANDOVER_RETRY_S": "0.2",
    "INCOMING_HANDOVER_TIMEOUT_S": "10",
    "INCOMING_CONFIRM_TIMEOUT_S": "4",
}


def run(folder: Path, *, seconds: float, seed: str, max_bytes: int = 1 << 31) -> Figures:
    """For about so many seconds and then until all is at its end, ENDING_S at most."""
    began = time.monotonic()
    with _running_servers(folder, seed) as (server, app), _lines(server) as proxies:
        harness = _Harness(folder, server, app, proxies, seed)
        harness.work(until=began + seconds, max_bytes=max_bytes)
        server.stop()
        figures = harness.figures()
        judge(figures, harness.jobs, harness.deliveries, folder / "storage")
    figures.seconds = time.monotonic() - began
    return figures


@contextmanager
def _running_servers(folder: Path, seed: str) -> Iterator[tuple[Server, Server]]:
    environ = {
        "FAULTS_FOLDER": str(folder),
        "FAULTS_LEASE_S": str(LEASE_S),
        "INCOMING_STORAGE_DIR": str(folder / "storage"),
        **SETTINGS,
    }
    arguments = ("--workers", "2", "--graceful-timeout", "3")
    server = gunicorn("faulty_app:application", *arguments, folder=folder, environ=environ)
    app_port = free_port()
    script = Path(__file__).with_name("moody_app.py")
    command = [str(script), str(app_port), str(folder), server.url, seed, str(SLOW_APP_S)]
    with server, Server([sys.executable, *command], port=app_port, folder=folder) as app:
        yield server, app


@contextmanager
def _lines(server: Server) -> Iterator[list[Proxy]]:
    with tcp_proxy(server.port) as one, tcp_proxy(server.port) as other:
        yield [one, other]


class _Harness:
    def __init__(
        self, folder: Path, server: Server, app: Server, proxies: list[Proxy], seed: str
    ) -> None:
        self.jobs: list[Job] = []
        self.deliveries = Deliveries(folder)
        self._folder = folder
        self._server = server
        self._app = app
        self._proxies = proxies
        self._seed = seed
        self._client = IncomingClient(server.url, timeout_s=5)
        self._liars = Liars(LIARS)
        self._killer = Killer(server, app, random.Random(f"{seed}/killer"), freeze_s=FREEZE_S)
        self._bad_lines = [
            BadLine(proxy, random.Random(f"{seed}/line/{number}"))
            for number, proxy in enumerate(proxies)
        ]
        self._calm = threading.Event()
        self._give_up = threading.Event()
        self._lock = threading.Lock()
        self._bytes = 0
        self._failures: list[str] = []

    def work(self, *, until: float, max_bytes: int) -> None:
        clients = [
            threading.Thread(target=self._be_a_client, args=(until, max_bytes), daemon=True)
            for _ in range(CLIENTS)
        ]
        troubles = [self._killer, *self._bad_lines]
        for each in [*clients, *troubles]:
            each.start()
        try:
            while time.monotonic() < until and any(client.is_alive() for client in clients):
                time.sleep(0.1)
        finally:
            for trouble in troubles:
                trouble.stop()
            (self._folder / "calm").touch()
            self._calm.set()
            deadline = time.monotonic() + ENDING_S
            for client in clients:
                client.join(max(0.0, deadline - time.monotonic()))
            self._give_up.set()
            self._liars.join()

    def figures(self) -> Figures:
        lines, deeds = [line.counts for line in self._bad_lines], self._killer.counts
        recovery = worst_recovery(self._killer.kills, self.jobs)
        figures = Figures(
            seed=self._seed,
            uploads=len(self.jobs),
            bytes_sent_up=sum(proxy.bytes_up for proxy in self._proxies),
            connections=sum(proxy.connections for proxy in self._proxies),
            cuts=sum(line["cut"] + line["cut_after"] + line["refuse"] for line in lines),
            half_closes=sum(line["half_close"] for line in lines),
            stalls=sum(line["stall"] for line in lines),
            worker_kills=deeds["kill_worker"],
            worker_freezes=deeds["freeze_worker"],
            master_kills=deeds["kill_master"],
            ends_by_sigterm=deeds["end_worker"] + deeds["end_master"],
            app_kills=deeds["kill_app"],
            client_kills=sum(job.client_kills for job in self.jobs),
            lies=sum(job.lies for job in self.jobs),
            wrong_digests_refused=sum(job.refused_digests for job in self.jobs),
            worst_recovery_s=recovery[0],
            worst_same_upload_s=recovery[1],
        )
        for failure in self._failures:
            figures.find("lost", failure)
        return figures

    # one client after the other

    def _be_a_client(self, until: float, max_bytes: int) -> None:
        while time.monotonic() < until and self._bytes < max_bytes:
            with self._lock:
                job = Job.choose(len(self.jobs), self._seed, self._folder)
                self.jobs.append(job)
                self._bytes += job.length
            try:
                self._see_through(job)
            except Exception as exc:  # noqa: BLE001 - the run goes on, and tells of it in the end
                self._failures.append(f"upload {job.number}, {job.kind}: {exc!r}")
            job.source.unlink(missing_ok=True)
            job.content = b""

    def _see_through(self, job: Job) -> None:
        job.upload_id = self._insist_on_ticket(job)
        path = f"/frontend/uploads/{job.upload_id}"
        job.direct_url = self._server.url + path
        job.url = job.random.choice(self._proxies).url + path
        if job.random.random() < 0.7:
            self._liars.join_in(job, seed=f"{self._seed}/liar/{job.number}")
        canceller = threading.Thread(target=self._cancel, args=(job, job.random.uniform(0, 2)))
        if job.random.random() < 0.1:
            canceller.start()
        send(job, self._calm)
        self._wait_for_the_end(job)
        if canceller.is_alive():
            canceller.join()

    def _insist_on_ticket(self, job: Job) -> str:
        chosen = job.random
        by_function = chosen.random() < 0.25
        query = Instructions.query(
            moves=chosen.random() < 0.3,
            answers=chosen.choice(["done", "done", "500,done", "500,500,done"]),
            remove=not job.keep,
        )
        while True:
            try:
                if not by_function:
                    return self._client.new_upload(
                        signal_finish_url=f"{self._app.url}/",
                        remove_file_when_finished=not job.keep,
                    )
                response = requests.post(f"{self._server.url}/ticket?{query}", timeout=5)
                if response.status_code == 200:
                    return response.text
            except (IncomingError, requests.RequestException):
                time.sleep(0.1)

    def _cancel(self, job: Job, after_s: float) -> None:
        time.sleep(after_s)
        by_page = after_s > 1
        job.cancelled = True
        while not job.is_over:
            try:
                if by_page:
                    if requests.delete(job.url, timeout=5).status_code < 500:
                        return
                else:
                    self._client.cancel_upload(job.upload_id)
                    return
            except requests.RequestException:
                pass
            except IncomingError as exc:
                if exc.status < 500:
                    return  # too late
            time.sleep(0.1)

    def _wait_for_the_end(self, job: Job) -> None:
        while not self._give_up.is_set():
            try:
                state = self._client.status(job.upload_id).state.value
                if state == "FAILED":
                    self._client.retry_handover(job.upload_id)
            except IncomingError:
                state = ""
            if state in ("FINISHED", "CANCELLED"):
                job.finished_at = time.time() if state == "FINISHED" else None
                job.state = state
                return
            time.sleep(0.1)
