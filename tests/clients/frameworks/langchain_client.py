"""Calls Bedrock with LangChain's `ChatBedrockConverse`, over boto3."""

import asked

from langchain_aws import ChatBedrockConverse
from langchain_core.messages import HumanMessage, SystemMessage


def ask(call, seen):
    model = ChatBedrockConverse(
        model=call.model,
        provider="amazon" if "amazon." in call.model else "anthropic",
        region_name=asked.REGION,
        endpoint_url=asked.ENDPOINT,
        max_tokens=call.max_tokens,
        temperature=call.temperature,
        top_p=call.top_p,
        stop_sequences=call.stop,
        disable_streaming=not call.stream,
    )
    if call.tools:
        function = {key: asked.TOOL[key] for key in ("name", "description")}
        function["parameters"] = asked.TOOL["schema"]
        model = model.bind_tools([{"type": "function", "function": function}])
    messages = [SystemMessage(asked.SYSTEM), HumanMessage(call.prompt)]
    if call.stream:
        for chunk in model.stream(messages):
            seen["events"] += 1
            seen["text"] += chunk.text
    else:
        seen["text"] = model.invoke(messages).text


asked.serve(ask)
