"""The one thread that owns the spool's file: what queues up while it writes goes into its next transaction together.

A commit costs milliseconds whatever it holds, so many hand-overs share one. A failing disk refuses exactly what was in
the failed transaction, and the next one tries afresh: nothing is restarted. A bug in one job fails that job only.
"""

import asyncio
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from device_profiles.quality import Reason
from device_profiles.receipts import Outcome
from gateway.store import Store, Waiting, Wish
from gateway.views import EMPTY_VIEW, View

log = logging.getLogger(__name__)

T = TypeVar("T")

LINGER_SECONDS = 0.1
"""How long receipts wait for company: a crash in between costs duplicates, a commit of their own milliseconds."""

RETRY_SECONDS = 1.0
"""How often receipts knock at a disk that fails: each try reads the books again."""


GLANCE_SECONDS = 1.0
"""How often the clocks are looked at while batches wait for the box to learn the time."""


class WriteFailed(Exception):
    """The transaction that this was in did not reach the disk. ``reason`` is DISK_FULL."""

    def __init__(self, reason: Reason, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class _Job:
    """A call to the store and where its result goes."""

    def __init__(self, call: Callable[[Store], Any], future: "asyncio.Future[Any]", writes: bool) -> None:
        self.call = call
        self.future = future
        self.writes = writes
        self.result: Any = None
        self.error: Exception | None = None

    def attempt(self, store: Store) -> None:
        """Run the call; a bug in it is this job's own."""
        self.error = None
        try:
            self.result = self.call(store)
        except sqlite3.DatabaseError:
            raise
        except Exception as bug:  # noqa: BLE001 - one job is a boundary: DESIGN "Errors", we are wrong
            self.error = bug

    @property
    def buggy(self) -> bool:
        """True when the call itself went wrong, not the disk."""
        return self.error is not None and not isinstance(self.error, WriteFailed)

    def resolve(self) -> None:
        """Hand the result to whoever awaits it; runs in the event loop."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Writer:
    """Starts the thread; its methods may be called from the event loop only.

    The queue needs no bound of its own: every caller awaits its result, sessions are bounded, so is each one's window.
    Every wake-up of a sleeping thread or loop costs more than the work it brings, so what belongs together crosses
    together: results, the new view and what the uplink wanted go back to the loop in one call.
    """

    def __init__(self, store: Store, on_news: Callable[[View, list[Waiting], bool], None]) -> None:
        self._store = store
        self._on_news = on_news
        self._loop = asyncio.get_running_loop()
        self._wake = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._settled: dict[int, tuple[Outcome, Reason]] = {}
        self._flush_due = False
        self._flush_timer: asyncio.TimerHandle | None = None
        self._wish: Wish | None = None
        self._wish_now = False
        self._answering = False
        self._ignored = False
        self._stopping = False
        self.view = EMPTY_VIEW
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Done when the thread ends; carries its exception if it was a bug."""
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[Store], T], *, writes: bool) -> "asyncio.Future[T]":
        """Run a call in the owner thread. WriteFailed when it writes and its transaction failed."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self.ended.done() or self._stopping:
            future.set_exception(WriteFailed(Reason.SHUTDOWN, "the spool is closed"))
            return future
        with self._wake:
            self._jobs.append(_Job(call, future, writes))
            self._wake.notify()
        return future

    def settle(self, fates: dict[int, tuple[Outcome, Reason]]) -> None:
        """Delete batches with the next commit, or after a short while with one of their own."""
        with self._wake:
            self._settled.update(fates)
        if self._flush_timer is None:
            seconds = RETRY_SECONDS if self.view.trouble else LINGER_SECONDS
            self._flush_timer = self._loop.call_later(seconds, self._flush)

    def _flush(self) -> None:
        """Receipts waited long enough for a commit to share."""
        self._flush_timer = None
        with self._wake:
            self._flush_due = True
            self._wake.notify()

    def want(self, wish: Wish, now: bool) -> None:
        """Lend this much: at once (``now``), or as soon as a commit brings something. Replaces an earlier wish.

        What is lent comes with ``on_news``. While it is on its way a new wish is ignored, for it cannot know of that;
        the news then says that it is time to wish again.
        """
        with self._wake:
            if self._answering:
                self._ignored = True
                return
            self._wish = wish
            self._wish_now = now
            if now:
                self._wake.notify()

    async def close(self) -> None:
        """Finish what is queued, close the file, end the thread."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        with self._wake:
            self._stopping = True
            self._wake.notify()
        await asyncio.wait([self.ended])
        self._thread.join()

    # -- in the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            while self._work():
                pass
        except BaseException as bug:  # noqa: BLE001 - carried to the event loop, which re-raises it
            error = bug
        finally:
            self._store.close()
            self._tell_loop(lambda: self._end(error))

    def _end(self, error: BaseException | None) -> None:
        for job in self._jobs:
            job.error = WriteFailed(Reason.SHUTDOWN, "the spool is closed")
            job.resolve()
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)

    def _tell_loop(self, callback: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            log.debug("the event loop ended before the spool did")

    def _work(self) -> bool:
        """Wait for work and do it; False when all is done and the writer is to end."""
        jobs, due, stopping = self._take()
        writes = [job for job in jobs if job.writes]
        if writes or due or stopping:
            self._write(writes)
        for job in jobs:
            if not job.writes:
                self._read(job)
        answered, lent = self._lend(committed=bool(writes or due))
        view = self.view
        self._tell_loop(lambda: self._deliver(jobs, view, answered, lent))
        return bool(jobs) or not stopping

    def _take(self) -> tuple[list[_Job], bool, bool]:
        """(what is to be done, is a transaction due even without it, is the writer to end)."""
        due = False
        with self._wake:
            while not (due or self._jobs or self._flush_due or self._wish_now or self._stopping):
                due = self._doze()
            jobs = list(self._jobs)
            self._jobs.clear()
            self._take_settled()
            flush, self._flush_due = self._flush_due and bool(self._store.settled), False
            return jobs, flush or due, self._stopping

    def _doze(self) -> bool:
        """Wait to be woken; True when the store has something to do by itself: batches that wait for the time."""
        if self._store.unfinished and not self.view.trouble:
            return True
        return not self._wake.wait(GLANCE_SECONDS if self._store.waits_for_time else None)

    def _take_settled(self) -> None:
        self._store.settled.update(self._settled)
        self._settled.clear()

    def _write(self, jobs: list[_Job]) -> None:
        self._transact(jobs)
        if len(jobs) > 1 and any(job.buggy for job in jobs):
            for job in jobs:
                self._transact([job])

    def _lend(self, committed: bool) -> tuple[bool, list[Waiting]]:
        """(was the uplink's wish looked at, what is lent); a wish that finds nothing stays, for the next commit."""
        with self._wake:
            wish, now = self._wish, self._wish_now
            self._wish_now = False
            if wish is None or not (committed or now):
                return False, []
            self._wish, self._answering = None, True
            self._take_settled()  # the wish no longer holds these, and they must not be lent again
        try:
            self._store.ready()
            lent = self._store.lend(wish)
        except sqlite3.DatabaseError:
            lent = []
        if not lent:
            self._wish = wish  # nobody else sets it while it is being answered
        return True, lent

    def _deliver(self, jobs: list[_Job], view: View, answered: bool, lent: list[Waiting]) -> None:
        """Hand everything to the event loop's side; runs there."""
        for job in jobs:
            job.resolve()
        again = answered and self._ignored
        if answered:
            self._answering = self._ignored = False
        if self._store_owes(view) and self._flush_timer is None:
            self.settle({})
        self._on_news(view, lent, again)

    def _store_owes(self, view: View) -> bool:
        """True when receipts could not be written: they knock again."""
        return bool(view.trouble and self._store.settled) and not self._stopping

    def _transact(self, jobs: list[_Job]) -> None:
        """All of these jobs on disk, or none: then each carries WriteFailed, or the bug that stopped it."""
        store = self._store
        try:
            store.begin()
            for job in jobs:
                job.attempt(store)
            if any(job.buggy for job in jobs):
                store.abort()
                return
            store.commit()
        except sqlite3.DatabaseError as trouble:
            store.abort()
            self._fail(jobs, trouble)
        else:
            if self.view.trouble:
                log.warning("spool: writing again after %d failures", self.view.failures)
            self.view = store.books.view(failures=self.view.failures)

    def _fail(self, jobs: list[_Job], trouble: sqlite3.DatabaseError) -> None:
        if not self.view.trouble:
            log.error("spool: cannot write: %s (%s)", trouble, trouble.sqlite_errorname)
        failures = self.view.failures + 1
        self.view = msgspec.structs.replace(self.view, trouble=str(trouble), failures=failures)
        for job in jobs:
            job.error = WriteFailed(Reason.DISK_FULL, str(trouble))

    def _read(self, job: _Job) -> None:
        try:
            self._store.ready()
            job.attempt(self._store)
        except sqlite3.DatabaseError as trouble:
            job.error = WriteFailed(Reason.DISK_FULL, str(trouble))
