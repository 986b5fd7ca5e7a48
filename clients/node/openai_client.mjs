// The official OpenAI client for Node against a gateway.
//
//   openai_client.mjs URL serves    completes, streams, calls a tool, reads a 404
//   openai_client.mjs URL refuses   the gateway's queue is full: 429
//   openai_client.mjs URL is_down   every model server answers 503

import assert from "node:assert/strict";
import { createRequire } from "node:module";

// The packages are where clients/setup.sh has put them, named by NODE_PATH.
const OpenAI = createRequire(import.meta.url)("openai");

const [url, what] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const request = { model: "tiny", max_tokens: 16, messages: [{ role: "user", content: "What is a gateway?" }] };
const tool = {
  type: "function",
  function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
};

async function serves() {
  const answer = await client.chat.completions.create(request);
  assert.ok(answer.choices[0].message.content);
  assert.equal(answer.usage.completion_tokens, 16);
  let pieces = 0;
  let usage;
  const stream = { ...request, stream: true, stream_options: { include_usage: true } };
  for await (const chunk of await client.chat.completions.create(stream)) {
    pieces += chunk.choices[0]?.delta.content ? 1 : 0;
    usage = chunk.usage ?? usage;
  }
  assert.ok(pieces > 1, `${pieces} pieces`);
  assert.equal(usage.completion_tokens, 16);
  const forced = { ...request, max_tokens: 200, tools: [tool], tool_choice: "required" };
  const called = await client.chat.completions.stream(forced).finalChatCompletion();
  const [call] = called.choices[0].message.tool_calls;
  assert.equal(call.function.name, "weather");
  assert.ok("city" in JSON.parse(call.function.arguments));
  const error = await raised(OpenAI.NotFoundError, { ...request, model: "nobody" });
  assert.equal(error.code, "model_not_found");
}

async function refuses() {
  const error = await raised(OpenAI.RateLimitError, request);
  assert.equal(error.code, "queue_full");
  assert.ok(Number(error.headers.get("retry-after")) >= 1);
}

async function isDown() {
  const error = await raised(OpenAI.InternalServerError, request);
  assert.equal(error.status, 503);
}

async function raised(kind, body) {
  try {
    await client.chat.completions.create(body);
  } catch (error) {
    assert.ok(error instanceof kind, String(error));
    return error;
  }
  assert.fail(`no ${kind.name}`);
}

await { serves, refuses, is_down: isDown }[what]();
