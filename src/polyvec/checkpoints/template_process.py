"""A request's own chat template, rendered in a process that can be ended.

A template from a caller can loop for ever or fill the memory in ways that no sandbox sees. So it
gets a process with limits that the kernel holds, and no way to files or the network.
"""

import ctypes
import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from polyvec.checkpoints.template_conversation import Conversation, Limits
from polyvec.errors import TemplateError
from polyvec.media._decoder_sandbox import restrict

MAX_TEMPLATE_CHARS = 100_000
_CPU_S = 2
_MEMORY_BYTES = 512 << 20
_BYTES_PER_CHAR = 6
"""Of a character that JSON writes as an escape."""
_START_S = 20.0
"""A busy machine takes its time to start a process; only what follows is the template's."""
_PR_SET_PDEATHSIG = 1
_MAX_OPEN_FILES = 16
_KEPT_VARIABLES = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")


def render_apart(source: str, conversation: Conversation, limits: Limits) -> str:
    """Render a template that may be hostile; blocks.

    Args:
        source: Jinja.
        conversation: What it is given.
        limits: It also gets no more than 2 s of processor time and 512 MiB.

    Raises:
        TemplateError: As `CompiledTemplate.render`, or it uses more than it may.
    """
    if len(source) > MAX_TEMPLATE_CHARS:
        raise TemplateError(f"chat_template has more than {MAX_TEMPLATE_CHARS} characters")
    job = {"source": source, "conversation": conversation.to_json(), "limits": asdict(limits)}
    # Files in memory: nobody has to read and write at the same time, and the kernel bounds them.
    questions, answers = os.memfd_create("question"), os.memfd_create("answer")
    with open(questions, "w+b") as question, open(answers, "w+b") as answer:  # noqa: PTH123
        question.write(json.dumps({**job, "parent": os.getpid()}).encode())
        question.seek(0)
        _run(question.fileno(), answer.fileno(), limits.timeout_s + _START_S)
        answer.seek(0)
        return _text_of(answer.read(_max_bytes(limits)))


def _run(question: int, answer: int, timeout_s: float) -> None:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "polyvec.checkpoints.template_process"],
        stdin=question,
        stdout=answer,
        stderr=subprocess.DEVNULL,
        env=kept,
    )
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.kill()
        process.wait()


def _text_of(answer: bytes) -> str:
    found: Any = None
    with suppress(ValueError):
        found = json.loads(answer)
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        raise TemplateError("the chat template takes too long, or needs too much memory")
    if found.get("failed"):
        raise TemplateError(found["text"])
    return str(found["text"])


def _max_bytes(limits: Limits) -> int:
    return limits.max_chars * _BYTES_PER_CHAR + 4096


def main() -> None:
    """Render what standard input asks for, and write it to standard output."""
    # Everything is loaded before a file can no longer be opened.
    from polyvec.checkpoints.jinja_sandbox import CompiledTemplate

    job = json.loads(sys.stdin.buffer.read())
    limits = Limits(**job["limits"])
    _restrict(job["parent"], _max_bytes(limits))
    try:
        template = CompiledTemplate(job["source"])
        text = template.render(Conversation.from_json(job["conversation"]), limits)
        answer: dict[str, str | bool] = {"text": text}
    except TemplateError as error:
        answer = {"text": error.message, "failed": True}
    sys.stdout.buffer.write(json.dumps(answer).encode())
    sys.stdout.buffer.flush()


def _restrict(parent: int, max_bytes: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit  # the server died before it could be said that it takes us along
    for kind, limit in (
        (resource.RLIMIT_CPU, math.ceil(time.process_time()) + _CPU_S),
        (resource.RLIMIT_AS, _MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, max_bytes),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
    ):
        _, hard = resource.getrlimit(kind)
        least = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (least, least))
    restrict()


if __name__ == "__main__":
    main()
