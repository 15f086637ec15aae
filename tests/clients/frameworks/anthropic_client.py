"""Calls Bedrock with Anthropic's SDK for Python, over httpx: by InvokeModel, or by Anthropic's own operation."""

import asked

from anthropic import Anthropic, AnthropicBedrock

BEDROCK = AnthropicBedrock(aws_region=asked.REGION, base_url=asked.ENDPOINT)
COMPATIBLE = Anthropic(
    base_url=asked.by_the_name_of_aws() + "/anthropic",
    auth_token="bedrock-api-key-that-nobody-may-store",
)


def ask(call, seen):
    client = COMPATIBLE if call.operation == "Messages" else BEDROCK
    arguments = {}
    if call.tools:
        tool = {key: asked.TOOL[key] for key in ("name", "description")}
        arguments["tools"] = [{**tool, "input_schema": asked.TOOL["schema"]}]
    # Models that came later know no sampling parameters, so the SDK has no names for them any more.
    sampling = {"temperature": call.temperature, "top_p": call.top_p}
    arguments.update(
        model=call.model,
        max_tokens=call.max_tokens,
        stop_sequences=call.stop,
        system=asked.SYSTEM,
        messages=[{"role": "user", "content": call.prompt}],
        extra_body=sampling,
    )
    if call.stream:
        with client.messages.stream(**arguments) as stream:
            for event in stream:
                seen["events"] += 1
                if event.type == "text":
                    seen["text"] += event.text
    else:
        message = client.messages.create(**arguments)
        seen["text"] = "".join(block.text for block in message.content if block.type == "text")


asked.serve(ask)
