"""Brings the kernel to what is desired, step by step, and keeps it there.

Noting a change is cheap and touches nothing (`dirty`); doing it happens later, batched, in plan order. Decisions rest
on the current desire and the last knowledge of the kernel, never on history: the cache is what was dumped plus what
the operations since then reported. What is under way, or has failed since the last dump, is unknown: neither there nor
not there. Invariants: nothing is executed before the first dump; at any time at most one
Execute or DumpKernel is under way, so a dump never mixes with half-done work; an attachment with an operation that
waits for its retry gets none of its later ones, so it cannot come up half made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.context import Context
from core.effects import DumpKernel, Execute
from core.reconcile.objects import Again, Guard, KernelObject, Op, OpResult, Refused, Verb
from core.reconcile.plan import attachment_of, is_guarded, plan, vanish_with

RUN_TIMER = "reconcile"
DUMP_TIMER = "reconcile/dump"
SWEEP_TIMER = "reconcile/sweep"

BATCH_MS = 5
"""Changes arrive in bursts; this long they are gathered, and for as long as the kernel is busy with earlier ones."""
DEBOUNCE_MS = 100
"""The kernel reports each of our own changes too."""
SWEEP_MS = 60_000
"""A missed notification is found out after this long."""
RETRY_MIN_MS = 100
RETRY_MAX_MS = 10_000
OPS_MAX = 1024
"""Per Execute, so that the shell reports progress at least every few seconds."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An operation that did not work when last tried."""

    op: Op
    """Which."""
    result: Again | Refused
    """What came of it."""
    delay_ms: int
    """Wait between the last try and the next."""
    due_ms: int
    """When it is tried next, on the monotonic clock."""


class Reconciler:
    """Owns the knowledge of the kernel and the retries."""

    def __init__(
        self,
        context: Context,
        compute_desired: Callable[[], tuple[KernelObject, ...]],
        may_remove: Callable[[], bool],
    ) -> None:
        self._context = context
        self._compute_desired = compute_desired
        self._may_remove = may_remove
        self._observed: dict[tuple[str, ...], KernelObject] | None = None
        self._unsure: dict[tuple[str, ...], None] = {}
        self._failures: dict[Op, Failure] = {}
        self._is_busy = False
        self._is_dump_wanted = False
        self._is_run_wanted = False
        self._run_due_ms: int | None = None
        self._dump_due = False

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What does not work at present, oldest first; for status."""
        return tuple(self._failures.values())

    @property
    def observed(self) -> tuple[KernelObject, ...] | None:
        """What the kernel is known to hold of ours; None before the first dump."""
        return None if self._observed is None else tuple(self._observed.values())

    def has(self, item: KernelObject) -> bool:
        """Say whether the kernel is known to hold exactly this object."""
        return self._observed is not None and item.key not in self._unsure and self._observed.get(item.key) == item

    def lacks(self, key: tuple[str, ...]) -> bool:
        """Say whether the kernel is known to hold nothing of ours under this key."""
        return self._observed is not None and key not in self._unsure and key not in self._observed

    def started(self) -> None:
        """Ask what the kernel holds."""
        if not self._context.config.datapath:
            return
        self._context.timer(SWEEP_TIMER, SWEEP_MS)
        self._is_dump_wanted = True
        self._step()

    def dirty(self) -> None:
        """Note that the desire may have changed."""
        if self._context.config.datapath:
            self._run_in(BATCH_MS)

    def timer(self, name: str) -> bool:
        """Handle a timer; False when it is not ours."""
        if name == RUN_TIMER:
            self._run_due_ms = None
            self._is_run_wanted = True
        elif name == DUMP_TIMER:
            self._dump_due = False
            self._is_dump_wanted = True
        elif name == SWEEP_TIMER:
            self._context.timer(SWEEP_TIMER, SWEEP_MS)
            self._is_dump_wanted = True
        else:
            return False
        self._step()
        return True

    def kernel_dumped(self, objects: tuple[KernelObject, ...]) -> None:
        """Replace what is known of the kernel."""
        self._observed = {item.key: item for item in objects}
        self._unsure.clear()
        self._is_busy = False
        self._is_run_wanted = True
        self._step()

    def kernel_changed(self) -> None:
        """Look again soon; a steady stream of changes does not put it off."""
        if self._context.config.datapath and not self._dump_due:
            self._dump_due = True
            self._context.timer(DUMP_TIMER, DEBOUNCE_MS)

    def ops_done(self, results: tuple[tuple[Op, OpResult], ...]) -> None:
        """Learn what came of an Execute; call this before asking `has`."""
        self._is_busy = False
        for op, result in results:
            if isinstance(result, Again | Refused):
                # It may have been done all the same, or half of it: only a look tells.
                self._is_dump_wanted = True
                self._failed(op, result)
            else:
                self._failures.pop(op, None)
                self._unsure.pop(op.object.key, None)
                self._remember(op)
        self._step()

    def _step(self) -> None:
        """Start the next piece of work, unless one is under way."""
        if self._is_busy:
            return
        if self._is_dump_wanted:
            self._is_dump_wanted = False
            self._is_busy = True
            self._context.emit(DumpKernel())
            return
        if self._is_run_wanted and self._observed is not None:
            self._is_run_wanted = False
            self._run()
        elif self._failures:
            self._arm_retry()

    def _run(self) -> None:
        assert self._observed is not None
        ops = plan(self._compute_desired(), self._observed.values(), may_remove=self._may_remove())
        current = dict.fromkeys(ops)
        self._failures = {op: failure for op, failure in self._failures.items() if op in current}
        ready = self._ready(ops)
        self._is_run_wanted = len(ready) > OPS_MAX
        if ready:
            self._is_busy = True
            self._unsure.update((op.object.key, None) for op in ready[:OPS_MAX])
            self._context.emit(Execute(ready[:OPS_MAX]))
        self._arm_retry()

    def _ready(self, ops: tuple[Op, ...]) -> tuple[Op, ...]:
        """Leave out what waits for its retry, and what it guards: the rest of its attachment, the overlay device."""
        now = self._context.at.mono_ms
        held: dict[tuple[str, str] | None, bool] = {}
        is_unguarded = False
        ready = []
        for op in ops:
            failure = self._failures.get(op)
            attachment = attachment_of(op.object)
            if failure is not None and failure.due_ms > now:
                is_unguarded = is_unguarded or isinstance(op.object, Guard)
                if attachment is not None:
                    held[attachment] = True
            elif attachment not in held and not (is_unguarded and is_guarded(op)):
                ready.append(op)
            else:
                self._context.mark("reconciler.held-back")
        return tuple(ready)

    def _failed(self, op: Op, result: Again | Refused) -> None:
        before = self._failures.get(op)
        if isinstance(result, Refused):
            delay_ms = RETRY_MAX_MS
            if before is None or before.result != result:
                name = " ".join(op.object.key)
                self._context.note("WARN", f"kernel refused to {op.verb.value} {name}: {result.why}; {result.hint}")
        else:
            doubled_ms = RETRY_MIN_MS if before is None else before.delay_ms * 2
            delay_ms = min(max(doubled_ms, result.after_ms), RETRY_MAX_MS)
        self._failures[op] = Failure(op, result, delay_ms, self._context.at.mono_ms + delay_ms)

    def _remember(self, op: Op) -> None:
        if self._observed is None:
            return
        if op.verb is not Verb.REMOVE:
            self._observed[op.object.key] = op.object
            return
        self._observed.pop(op.object.key, None)
        for other in vanish_with(op.object, tuple(self._observed.values())):
            del self._observed[other.key]

    def _arm_retry(self) -> None:
        now = self._context.at.mono_ms
        due = [failure.due_ms for failure in self._failures.values() if failure.due_ms > now]
        if due:
            self._run_in(min(due) - now)

    def _run_in(self, after_ms: int) -> None:
        """Run at the earliest of the times asked for."""
        due_ms = self._context.at.mono_ms + after_ms
        if self._run_due_ms is None or due_ms < self._run_due_ms:
            self._run_due_ms = due_ms
            self._context.timer(RUN_TIMER, after_ms)
