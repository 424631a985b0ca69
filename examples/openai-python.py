"""The official Python SDK (pip install openai): lists the models, streams an answer, and catches a typed error."""

import os

from openai import NotFoundError, OpenAI

client = OpenAI(base_url=os.environ["SLUICE_URL"] + "/v1", api_key=os.environ["SLUICE_API_KEY"])

models = client.models.list().data
for model in models:
    print(f"{model.id}, owned by {model.owned_by}")

stream = client.chat.completions.create(
    model=models[0].id,
    messages=[{"role": "user", "content": "What is the capital of France?"}],
    temperature=0,
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
    if chunk.usage:
        print(f"\n{chunk.usage.prompt_tokens} tokens in, {chunk.usage.completion_tokens} out")

try:
    client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "Hello"}])
except NotFoundError as error:
    print(f"{error.status_code} {error.code}, request {error.request_id}")
