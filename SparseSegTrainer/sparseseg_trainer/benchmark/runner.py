"""Cells run as job processes, some at a time over the devices; one that fails does not stop the others."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from ..case import CaseFailure
from ..errors import InputError
from ..files import write_text
from ..jobs import CANCELLED_ERROR, SCHEMA
from ..reporting import Reporter, TimeLeft
from .failures import failure_of, forget_failure, keep_failure

GRACE = 3  # seconds that a cell has to stop before its process is ended


@dataclass(frozen=True)
class Task:
    """A cell ready to run: its name in messages, its job folder, and its job."""

    name: str
    folder: Path
    job: dict


@dataclass
class Running:
    """The tasks under way, told of by their threads and read by the main one."""

    now: dict[str, str] = field(default_factory=dict)  # task name -> what it is doing
    stop: threading.Event = field(default_factory=threading.Event)


def run_tasks(
    tasks: list[Task],
    devices: Sequence[str],
    at_a_time: int,
    finished: Callable[[Task, dict], None],
    reporter: Reporter,
) -> list[CaseFailure]:
    """Runs the tasks, ``at_a_time`` of them, each on the next of ``devices`` ("auto", "cpu", "cuda", "cuda:1") in turn.

    ``finished`` is called with the result of each that came through. Returns why the others did not, which is kept in
    their folders too. Raises ``Cancelled``; the processes are stopped then, and go on from their checkpoints when the
    task runs again.
    """
    slots: queue.SimpleQueue[str] = queue.SimpleQueue()
    for number in range(at_a_time):
        slots.put(devices[number % len(devices)])
    running, failed, left, done = Running(), [], TimeLeft(), 0
    with ThreadPoolExecutor(at_a_time) as threads:
        futures = {threads.submit(_in_slot, task, slots, at_a_time, running): task for task in tasks}
        try:
            while futures:
                fraction = done / len(tasks)
                doing = "; ".join(f"{name}: {stage}" for name, stage in list(running.now.items()))
                reporter.progress("cells", fraction, f"{done} of {len(tasks)} done. {doing}", left(fraction))
                for future in wait(futures, timeout=0.3, return_when=FIRST_COMPLETED).done:
                    done += 1
                    _settle(futures.pop(future), future, finished, failed, reporter)
        finally:
            running.stop.set()
            threads.shutdown(wait=False, cancel_futures=True)
    reporter.progress("cells", 1)
    return failed


def _settle(task: Task, future: Future, finished: Callable, failed: list[CaseFailure], reporter: Reporter) -> None:
    try:
        result = future.result()
    except Exception as error:  # whatever it was, the other cells are not to blame
        failure = failure_of(task.name, error)
        if failure.code != CANCELLED_ERROR[0]:  # Ctrl+C reaches the cells too, and says nothing of them
            keep_failure(task.folder, failure)
        failed.append(failure)
        reporter.warn(f"{failure.message} {failure.advice}")
    else:
        finished(task, result)


def _in_slot(task: Task, slots: queue.SimpleQueue, at_a_time: int, running: Running) -> dict:
    """The task's result, run on a free device. Raises InputError with what the process said of its failure."""
    device = slots.get()
    try:
        (task.folder / "cancel").unlink(missing_ok=True)
        forget_failure(task.folder)
        write_text(task.folder / "job.json", json.dumps({"schema": SCHEMA, **task.job}, indent=2) + "\n")
        return _run_process(task, _environment(device, at_a_time), running)
    finally:
        running.now.pop(task.name, None)
        slots.put(device)


def _run_process(task: Task, environment: dict, running: Running) -> dict:
    log = task.folder / "stderr.txt"
    with open(log, "w", encoding="utf-8") as errors:
        # Its standard output is a pipe: when this process dies, the cell's next line fails, and it stops by itself.
        process = subprocess.Popen(
            [sys.executable, "-m", "sparseseg_trainer", str(task.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            encoding="utf-8",
        )
        with process:
            watch = threading.Thread(target=_stop_process, args=(process, task.folder, running.stop), daemon=True)
            watch.start()
            error = None
            for line in process.stdout:
                event = json.loads(line) if line.endswith("\n") else {"event": "cut off"}
                if event["event"] == "progress":
                    running.now[task.name] = f"{event['stage']} {event['fraction']:.0%}"
                elif event["event"] == "error":
                    error = InputError(event["code"], event["message"], event["advice"])
            status = process.wait()
    result = task.folder / "result.json"
    if result.is_file():
        return json.loads(result.read_text(encoding="utf-8"))
    raise error or InputError(
        "cell_died", f"Its process ended with status {status} and said nothing.", f"Look into {log}, or start it again."
    )


def _stop_process(process: subprocess.Popen, folder: Path, stop: threading.Event) -> None:
    """Cancels the job when ``stop`` is set, and ends its process if it takes long."""
    while not stop.wait(0.2):
        if process.poll() is not None:
            return
    if process.poll() is None:
        (folder / "cancel").touch()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
        (folder / "cancel").unlink(missing_ok=True)


def _environment(device: str, at_a_time: int) -> dict[str, str]:
    """What makes a job with the device "auto" use ``device``, and cells share the processor's cores."""
    environment = dict(os.environ)
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // at_a_time)))
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    elif device.startswith("cuda:"):
        number = device.partition(":")[2]
        visible = [name for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        environment["CUDA_VISIBLE_DEVICES"] = visible[int(number)] if visible else number
    return environment
