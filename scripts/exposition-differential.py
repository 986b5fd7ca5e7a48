"""Prints what prometheus_client reads from the given pages, one JSON line per sample:
[page, name, {label: value}, bits of the value as hex]. Run by exposition-differential.sh."""

import json
import math
import struct
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families


def bits(value: float) -> str:
    """All NaNs are one: their payload means nothing."""
    return "nan" if math.isnan(value) else struct.pack(">d", value).hex()


def main() -> None:
    for page in map(Path, sys.argv[1:]):
        text = page.read_text(encoding="utf-8")
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                line = [page.name, sample.name, sample.labels, bits(float(sample.value))]
                print(json.dumps(line, ensure_ascii=True))


main()
