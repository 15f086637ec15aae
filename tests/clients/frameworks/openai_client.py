"""Calls Bedrock's Chat Completions with OpenAI's SDK for Python, over httpx."""

import asked

from openai import OpenAI

CLIENT = OpenAI(
    base_url=asked.by_the_name_of_aws() + "/openai/v1",
    api_key="bedrock-api-key-that-nobody-may-store",
)


def ask(call, seen):
    arguments = {}
    if call.tools:
        function = {key: asked.TOOL[key] for key in ("name", "description")}
        function["parameters"] = asked.TOOL["schema"]
        arguments["tools"] = [{"type": "function", "function": function}]
    if call.stream:
        arguments["stream_options"] = {"include_usage": True}
    response = CLIENT.chat.completions.create(
        model=call.model,
        messages=[
            {"role": "system", "content": asked.SYSTEM},
            {"role": "user", "content": call.prompt},
        ],
        max_completion_tokens=call.max_tokens,
        temperature=call.temperature,
        top_p=call.top_p,
        stop=call.stop,
        stream=call.stream,
        **arguments,
    )
    if call.stream:
        for chunk in response:
            seen["events"] += 1
            for choice in chunk.choices:
                seen["text"] += choice.delta.content or ""
    else:
        seen["text"] = response.choices[0].message.content or ""


asked.serve(ask)
