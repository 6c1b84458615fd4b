"""Kills this process at named points, once for each file or slot that asks for it, and teaches it poisonous formats.

A file whose name begins with `kill <point>` asks for it, as does FAULTS for points of the web and of reports: a list
of points separated by commas. What happened is marked in the folder FAULT_MARKS.
"""

import os
import signal
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings

POISONS = "tests.torture.poison"


class FaultsConfig(AppConfig):
    name = "tests.torture.faults"

    def ready(self) -> None:
        from uploads import signals
        from uploads.metadata import content_type, registry
        from uploads.models import Report, Upload
        from uploads.models.report import ReportQuerySet
        from uploads.models.upload import UploadQuerySet
        from uploads.reports import mail
        from uploads.workers import watched

        wrap(UploadQuerySet, "claim", before="before claim", after="after claim", name_of=name_by_key)
        wrap(registry, "digest", before="during parsing", name_of=name_by_file)
        wrap(Upload, "finish", before="before commit", after="after commit", name_of=lambda upload, *_: upload.name)
        wrap(signals, "enqueue", before="before send", name_of=name_by_key)
        wrap(ReportQuerySet, "claim_slot", after="report claimed")
        wrap(mail.EmailMultiAlternatives, "send", before="before mail", after="after mail")
        wrap(Report, "succeed", after="report sent")
        wrap(Report, "keep", before="stop before keeping")
        watched.STALLED = float(os.environ.get("STALLED", watched.STALLED))
        content_type.SIGNATURES.insert(0, (0, b"POISON", "application/x-poison"))
        registry.EXTRACTORS["application/x-poison"] = POISONS


def name_by_key(*args: Any, **kwargs: Any) -> str:
    from uploads.models import Upload

    key = next(each for each in args if isinstance(each, int))
    return Upload.objects.filter(pk=key).values_list("name", flat=True).first() or ""


def name_by_file(file: Any, *_: Any) -> str:
    from uploads.models import Upload

    stored = Path(file.name).relative_to(settings.MEDIA_ROOT)
    return Upload.objects.filter(file=str(stored)).values_list("name", flat=True).first() or ""


def wrap(
    owner: Any, name: str, *, before: str = "", after: str = "", name_of: Callable[..., str] = lambda *_, **__: ""
) -> None:
    original = getattr(owner, name)

    @wraps(original)
    def with_faults(*args: Any, **kwargs: Any) -> Any:
        subject = name_of(*args, **kwargs)
        die_once(before, subject)
        result = original(*args, **kwargs)
        if result is not None:  # A claim that was not got.
            die_once(after, subject)
        return result

    setattr(owner, name, with_faults)


def die_once(point: str, subject: str) -> None:
    if point and point in os.environ.get("FAULTS_EACH_TIME", "").split(","):
        os.kill(os.getpid(), signal.SIGKILL)
    if point == "after claim" and subject.startswith("kill always"):
        time.sleep(1)  # Those beside it have been claimed, too.
        os.kill(os.getpid(), signal.SIGKILL)
    wanted = point and (subject.startswith(f"kill {point}") or point in os.environ.get("FAULTS", "").split(","))
    if wanted and is_first(f"{point} {subject}"):
        # Not os.kill: while another thread takes the SIGSTOP, this one runs on, beyond the point.
        signal.raise_signal(signal.SIGSTOP if point.startswith("stop") else signal.SIGKILL)


def is_first(what: str) -> bool:
    mark = Path(os.environ["FAULT_MARKS"]) / what.replace("/", "_")
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
