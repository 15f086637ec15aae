"""Calls agents, knowledge bases and AgentCore with boto3.

A call is `{"service": "bedrock-agent-runtime", "method": "invoke_agent", "arguments": {…}}`; what is told of it is its
request id and every text that came back, or the error.
"""

import boto3
from botocore.config import Config
from botocore.eventstream import EventStream

import protocol


def texts(value):
    """Every text in an answer, streams read to their ends."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return "".join(texts(inner) for inner in value.values())
    if isinstance(value, (list, EventStream)):
        return "".join(texts(inner) for inner in value)
    if hasattr(value, "read"):
        return value.read().decode()
    return ""


def make(client, call):
    try:
        response = getattr(client, call["method"])(**call["arguments"])
        metadata = response.pop("ResponseMetadata")
        return {"request_id": metadata["RequestId"], "text": texts(response)}
    except Exception as error:  # whatever the client sees is what the test wants to know
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    config = Config(retries={"mode": "standard", "max_attempts": 1}, connect_timeout=60, read_timeout=60)
    clients = {}
    for batch in protocol.batches():
        for call in batch["calls"]:
            service = call["service"]
            if service not in clients:
                clients[service] = boto3.client(service, config=config, **protocol.configuration())
            protocol.say(make(clients[service], call))


main()
