"""The API reference's samples (`reference.md`), by the headings they stand under."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

TEXT = (Path(__file__).parent / "reference.md").read_text()
SAMPLES = dict(re.findall(r"^## ([^\n]*)\n\n```\w*\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE))


def sample(heading: str) -> str:
    return str(SAMPLES[heading])


def json_sample(heading: str) -> Any:
    return msgspec.json.decode(SAMPLES[heading])


def differences(sample: Any, answer: Any, at: str = "$") -> list[str]:
    """Where an answer lacks what the sample shows, or shows something of another type. What it has beyond is its own.

    A sample's list stands for any list of such things, but an empty one proves nothing.
    """
    if isinstance(sample, dict) and isinstance(answer, dict):
        missing = [f"{at}.{name} is missing" for name in sample if name not in answer]
        common = [name for name in sample if name in answer]
        return missing + [text for name in common for text in differences(sample[name], answer[name], f"{at}.{name}")]
    if isinstance(sample, list) and isinstance(answer, list):
        if sample and not answer:
            return [f"{at} is empty"]
        return [text for item in answer for text in differences(sample[0], item, f"{at}[]")] if sample else []
    return [] if _sort(sample) == _sort(answer) else [f"{at} is {answer!r}, the sample has {sample!r}"]


def _sort(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        if numbered := re.fullmatch(r"(monitor|heartbeat|channel|user)-[\w-]+", value):
            return f"id of a {numbered[1]}"
        if value.endswith("Z") and value[:4].isdigit():
            return f"time, {datetime.fromisoformat(value).tzinfo}"
    return type(value).__name__
