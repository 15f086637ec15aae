"""Calls Bedrock with LiteLLM: a request of its own making, over httpx."""

import asked  # sets the environment that LiteLLM reads when it is imported

import litellm

litellm.telemetry = False
litellm.ssl_verify = asked.AUTHORITY
litellm.drop_params = False


def ask(call, seen):
    arguments = {}
    if call.tools:
        function = {key: asked.TOOL[key] for key in ("name", "description")}
        function["parameters"] = asked.TOOL["schema"]
        arguments["tools"] = [{"type": "function", "function": function}]
    response = litellm.completion(
        model="bedrock/converse/" + call.model,
        messages=[
            {"role": "system", "content": asked.SYSTEM},
            {"role": "user", "content": call.prompt},
        ],
        max_tokens=call.max_tokens,
        temperature=call.temperature,
        top_p=call.top_p,
        stop=call.stop,
        stream=call.stream,
        aws_region_name=asked.REGION,
        aws_bedrock_runtime_endpoint=asked.ENDPOINT,
        num_retries=0,
        **arguments,
    )
    if call.stream:
        for chunk in response:
            seen["events"] += 1
            seen["text"] += chunk.choices[0].delta.content or ""
    else:
        seen["text"] = response.choices[0].message.content or ""


asked.serve(ask)
