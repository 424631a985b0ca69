"""Speaks to a stack by the stock OpenAI client for Python; prints what came of each part as one JSON object."""

import asyncio
import json
import sys

import openai

base_url, api_key, admin_key = sys.argv[1:4]
client = openai.OpenAI(base_url=base_url, api_key=api_key)
MODEL = "scripted"


def scripted(**script):
    return [{"role": "user", "content": json.dumps(script)}]


def error_of(call):
    try:
        call()
    except openai.APIError as error:
        return {
            "class": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "code": error.code,
            "param": error.param,
            "type": error.type,
            "request_id": getattr(error, "request_id", None),
        }
    return None


def chat():
    done = client.chat.completions.create(model=MODEL, messages=scripted(text="Grüße"))
    return {"content": done.choices[0].message.content, "total": done.usage.total_tokens, "id": done._request_id}


def slow():
    done = client.chat.completions.create(model=MODEL, messages=scripted(text="slow", chunks=3, delay_ms=1200))
    return done.choices[0].message.content


def stream():
    text, usage, ends = "", None, []
    options = {"stream": True, "stream_options": {"include_usage": True}}
    script = scripted(text="one two three", chunks=3, prefill_ms=600)
    for chunk in client.chat.completions.create(model=MODEL, messages=script, **options):
        usage = chunk.usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            ends += [choice.finish_reason] if choice.finish_reason else []
    return {"text": text, "ends": ends, "usage": usage.total_tokens}


def helper():
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
    script = scripted(text="Let me look.", chunks=4, tool_calls=[{"name": "weather", "arguments": {"city": "Oslo"}}])
    with client.chat.completions.stream(model=MODEL, messages=script, tools=tools) as events:
        deltas = [event.delta for event in events if event.type == "content.delta"]
        message = events.get_final_completion().choices[0].message
    call = message.tool_calls[0].function
    return {"deltas": deltas, "content": message.content, "name": call.name, "arguments": json.loads(call.arguments)}


def reasoning():
    script = scripted(reasoning="let me see", text="42", chunks=2)
    whole = client.chat.completions.create(model=MODEL, messages=script).choices[0].message
    parts = [
        chunk.choices[0].delta.model_extra.get("reasoning_content", "")
        for chunk in client.chat.completions.create(model=MODEL, messages=script, stream=True)
        if chunk.choices
    ]
    return {"whole": whole.model_extra["reasoning_content"], "streamed": "".join(parts), "content": whole.content}


def models():
    return {"list": [model.id for model in client.models.list()], "one": client.models.retrieve(MODEL).object}


async def several():
    async with openai.AsyncOpenAI(base_url=base_url, api_key=api_key) as other:
        calls = [
            other.chat.completions.create(model=MODEL, messages=scripted(text=f"answer {n}", chunks=2, delay_ms=50))
            for n in range(8)
        ]
        return [done.choices[0].message.content for done in await asyncio.gather(*calls)]


def broken_stream():
    text = []

    def read():
        script = scripted(text="a b c d", chunks=4, fail_after=2, fail="overloaded")
        for chunk in client.chat.completions.create(model=MODEL, messages=script, stream=True):
            text.append(chunk.choices[0].delta.content or "")

    return {"error": error_of(read), "text": "".join(text)}


def create(one=client, **body):
    return lambda: one.with_options(max_retries=0).chat.completions.create(
        **{"model": MODEL, "messages": scripted(text="x"), **body}
    )


def errors():
    def by(key):
        return create(openai.OpenAI(base_url=base_url, api_key=key))

    return {
        "wrong key": error_of(by("sk-wrong")),
        "admin key": error_of(by(admin_key)),
        "unknown model": error_of(create(model="gpt-4o")),
        "bad value": error_of(create(temperature=3)),
        "too long": error_of(create(max_tokens=1_000_000)),
        "unsupported": error_of(create(n=3)),
        "overloaded": error_of(create(messages=scripted(fail="overloaded"))),
        "internal": error_of(create(messages=scripted(fail="internal"))),
        "patience": error_of(
            lambda: client.with_options(max_retries=0, timeout=0.5).chat.completions.create(
                model=MODEL, messages=scripted(chunks=1000, delay_ms=100)
            )
        ),
    }


parts = [chat, slow, stream, helper, reasoning, models, broken_stream, errors]
results = {part.__name__: part() for part in parts}
results["several"] = asyncio.run(several())
print(json.dumps(results))
