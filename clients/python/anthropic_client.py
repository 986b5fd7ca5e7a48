"""The official Anthropic client for Python against a gateway.

    anthropic_client.py URL serves    answers, streams, calls a tool, counts tokens, reads a 404
    anthropic_client.py URL refuses   the gateway's queue is full: 429
    anthropic_client.py URL is_down   every model server answers 503
"""

import sys

import anthropic

MODEL = "tiny"
REQUEST = {"model": MODEL, "max_tokens": 16, "messages": [{"role": "user", "content": "What is a gateway?"}]}
TOOL = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
FORCED = {**REQUEST, "max_tokens": 200, "tools": [TOOL], "tool_choice": {"type": "any"}}


def serves(client):
    answer = client.messages.create(**REQUEST, system="Be brief.")
    assert answer.content[0].text
    assert answer.stop_reason == "max_tokens"
    assert answer.usage.output_tokens == 16, answer.usage
    with client.messages.stream(**REQUEST) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(pieces) > 1 and "".join(pieces) == final.content[0].text
    assert final.usage.output_tokens == 16, final.usage
    calls = client.messages.create(**FORCED)
    assert calls.stop_reason == "tool_use"
    assert "city" in calls.content[0].input, calls.content
    with client.messages.stream(**FORCED) as stream:
        streamed = stream.get_final_message().content[0]
    assert streamed.input == calls.content[0].input, streamed
    counted = client.messages.count_tokens(model=MODEL, messages=REQUEST["messages"])
    assert counted.input_tokens > 0
    assert raised(client, anthropic.NotFoundError, model="nobody").status_code == 404


def refuses(client):
    error = raised(client, anthropic.RateLimitError)
    assert int(error.response.headers["retry-after"]) >= 1
    assert error.body["error"]["code"] == "queue_full", error.body


def is_down(client):
    assert raised(client, anthropic.InternalServerError).status_code == 503


def raised(client, kind, **more):
    try:
        client.messages.create(**{**REQUEST, **more})
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def main():
    _, url, what = sys.argv
    client = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)
    {"serves": serves, "refuses": refuses, "is_down": is_down}[what](client)


main()
