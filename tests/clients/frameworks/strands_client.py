"""Calls Bedrock with Strands Agents: an agent that may use a tool, which makes as many calls as it needs."""

import asked

from strands import Agent, tool
from strands.models import BedrockModel


@tool
def get_weather(city: str, days: int = 1) -> str:
    """Tells the weather.

    Args:
        city: Where.
        days: How far ahead.
    """
    return f"{days} days of sun in {city}"


def ask(call, seen):
    model = BedrockModel(
        model_id=call.model,
        region_name=asked.REGION,
        endpoint_url=asked.ENDPOINT,
        max_tokens=call.max_tokens,
        temperature=call.temperature,
        top_p=call.top_p,
        stop_sequences=call.stop,
        streaming=call.stream,
    )
    agent = Agent(
        model=model,
        system_prompt=asked.SYSTEM,
        tools=[get_weather] if call.tools else [],
        callback_handler=None,
    )
    seen["text"] = str(agent(call.prompt))


asked.serve(ask)
