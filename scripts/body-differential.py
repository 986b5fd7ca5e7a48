#!/usr/bin/env python3
"""Answers how Python's json.loads reads request bodies: the oracle of filter/tests/body_differential.rs.

The engines (vLLM, SGLang: Starlette's `Request.json`) read a body with `json.loads(bytes)`. Standard input holds frames of
a length (4 bytes, little endian) and a body; each is answered by one line on standard output:

    E                 refused
    O                 no object
    D SURE LIMITS M   an object: SURE is 1 when any careful reader must agree, else 0; LIMITS is stream, max_tokens,
                      max_completion_tokens, max_output_tokens, n, max_tokens and n of sampling_params, and how many
                      prompts a list of them holds, separated by commas, each a number or `-`;
                      M is the model in hex of UTF-8, `-` when it is absent or no string, `""` when it is empty

A body is sure unless it leans on what only some builds of Python take: surrogates encoded as UTF-8, UTF-16 or UTF-32,
nesting past 512, integers of more than 4,300 digits.
"""

import json
import re
import sys

LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "n")
MAX_DEPTH = 512
LONG_INTEGER = re.compile(rb"[0-9]{4301}")
STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def depth(body: bytes) -> int:
    deepest = now = 0
    for byte in STRING.sub(b"", body):
        if byte in b"[{":
            now += 1
            deepest = max(deepest, now)
        elif byte in b"]}":
            now -= 1
    return deepest


def is_sure(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    if b"\0" in body or LONG_INTEGER.search(body):
        return False
    return body.count(b"[") + body.count(b"{") <= MAX_DEPTH or depth(body) <= MAX_DEPTH


def limit(value: object) -> str:
    if type(value) is int and 0 <= value < 2**63:
        return str(value)
    return "-"


def answer(body: bytes) -> str:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return "E"
    if not isinstance(value, dict):
        return "O"
    limits = ["1" if value.get("stream") is True else "0"]
    limits += [limit(value.get(name)) for name in LIMITS]
    sampling = value.get("sampling_params")
    sampling = sampling if isinstance(sampling, dict) else {}
    limits += [limit(sampling.get(name)) for name in ("max_tokens", "n")]
    prompt = value.get("prompt")
    limits.append(str(sum(isinstance(one, (str, list)) for one in prompt)) if isinstance(prompt, list) else "-")
    model = value.get("model")
    if isinstance(model, str):
        text = model.encode("utf-8", "surrogatepass").hex() or '""'
    else:
        text = "-"
    return f"D {int(is_sure(body))} {','.join(limits)} {text}"


def main() -> None:
    source, sink = sys.stdin.buffer, sys.stdout
    while header := source.read(4):
        body = source.read(int.from_bytes(header, "little"))
        sink.write(answer(body) + "\n")
    sink.flush()


if __name__ == "__main__":
    main()
