"""The official OpenAI client for Python against a gateway.

    openai_client.py URL serves     lists, completes, streams, calls a tool, reads a 404
    openai_client.py URL generates  the same without tools and refusals, for any model server
    openai_client.py URL refuses    the gateway's queue is full: 429
    openai_client.py URL is_down    every model server answers 503
"""

import asyncio
import json
import sys

import openai

MODEL = "tiny"
QUESTION = [{"role": "user", "content": "What is a gateway?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
FORCED = {"messages": QUESTION, "tools": [TOOL], "tool_choice": "required"}


def generates(client):
    assert MODEL in [model.id for model in client.models.list()]
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=16)
    assert answer.choices[0].message.content
    assert answer.usage.completion_tokens == 16, answer.usage
    text = client.completions.create(model=MODEL, prompt="import os", max_tokens=8)
    assert text.choices[0].finish_reason == "length"
    stream = client.chat.completions.create(
        model=MODEL,
        messages=QUESTION,
        max_tokens=24,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert chunks[-1].usage.completion_tokens == 24, chunks[-1]
    assert sum(bool(chunk.choices and chunk.choices[0].delta.content) for chunk in chunks) > 1


async def many_at_once(url):
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)

    async def one(number):
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": f"{number}?"}], max_tokens=20, stream=True
        )
        return [chunk async for chunk in stream][-1].choices[0].finish_reason

    assert set(await asyncio.gather(*map(one, range(40)))) == {"length"}


def calls_a_tool(client):
    answer = client.chat.completions.create(model=MODEL, **FORCED)
    [call] = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "weather"
    assert "city" in json.loads(call.function.arguments)
    with client.chat.completions.stream(model=MODEL, **FORCED) as stream:
        kinds = [event.type for event in stream]
        [call] = stream.get_final_completion().choices[0].message.tool_calls
    assert "tool_calls.function.arguments.delta" in kinds, kinds
    assert "city" in json.loads(call.function.arguments)


def serves(client):
    generates(client)
    calls_a_tool(client)
    error = raised(client, openai.NotFoundError, model="nobody")
    assert error.code == "model_not_found", error.body


def refuses(client):
    error = raised(client, openai.RateLimitError)
    assert error.code == "queue_full", error.body
    assert int(error.response.headers["retry-after"]) >= 1
    raised(client, openai.RateLimitError, stream=True)


def is_down(client):
    error = raised(client, openai.InternalServerError)
    assert error.status_code == 503, error
    assert "try again later" in error.message


def raised(client, kind, model=MODEL, **more):
    try:
        client.chat.completions.create(model=model, messages=QUESTION, max_tokens=4, **more)
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def main():
    _, url, what = sys.argv
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    {"serves": serves, "generates": generates, "refuses": refuses, "is_down": is_down}[what](client)
    if what in ("serves", "generates"):
        asyncio.run(many_at_once(url))


main()
