"""What a call asks for, taken out of the body that the harness words, for frameworks that word bodies themselves."""

import os
import socket
from urllib.parse import urlsplit

import protocol

# Neither frameworks nor SDKs may look for credentials, or tell of themselves, elsewhere.
CONFIGURATION = protocol.configuration()
REGION = CONFIGURATION["region_name"]
ENDPOINT = CONFIGURATION["endpoint_url"]
AUTHORITY = CONFIGURATION["verify"]
os.environ.update(
    AWS_ACCESS_KEY_ID=CONFIGURATION["aws_access_key_id"],
    AWS_SECRET_ACCESS_KEY=CONFIGURATION["aws_secret_access_key"],
    AWS_SESSION_TOKEN=CONFIGURATION["aws_session_token"],
    AWS_REGION=REGION,
    AWS_DEFAULT_REGION=REGION,
    AWS_CA_BUNDLE=AUTHORITY,
    SSL_CERT_FILE=AUTHORITY,
    REQUESTS_CA_BUNDLE=AUTHORITY,
)

SYSTEM = "You are a geologist."


def by_the_name_of_aws():
    """The endpoint under AWS's own name, which leads to the loopback interface in this process."""
    name = f"bedrock-runtime.{REGION}.amazonaws.com"
    resolve = socket.getaddrinfo

    def resolve_here(host, *arguments, **keywords):
        here = host in (name, name.encode())
        return resolve("localhost" if here else host, *arguments, **keywords)

    socket.getaddrinfo = resolve_here
    return f"https://{name}:{urlsplit(ENDPOINT).port}"


class Asked:
    """Prompt, parameters and whether to stream; of a body of Converse or of Claude."""

    def __init__(self, call):
        body = call["body"]
        inference = body.get("inferenceConfig", {})
        content = body["messages"][-1]["content"]
        self.operation = call["operation"]
        self.model = call["model"]
        self.prompt = content if isinstance(content, str) else content[0]["text"]
        self.stream = "Stream" in call["operation"] or body.get("stream", False)
        self.max_tokens = inference.get("maxTokens", body.get("max_tokens", body.get("max_completion_tokens")))
        self.temperature = inference.get("temperature", body.get("temperature"))
        self.top_p = inference.get("topP", body.get("top_p"))
        self.stop = inference.get("stopSequences", body.get("stop_sequences", body.get("stop")))
        self.tools = bool(body.get("toolConfig") or body.get("tools"))


TOOL = {
    "name": "get_weather",
    "description": "Tells the weather.",
    "schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
}


def serve(ask):
    """Answers batches: `ask(asked, seen)` makes one call and tells what it saw."""
    for batch in protocol.batches():
        for call in batch["calls"]:
            seen = protocol.Seen(call)
            try:
                ask(Asked(call), seen.fields)
            except Exception as error:  # whatever the client sees is what the test wants to know
                seen.error(error)
            protocol.say(seen.fields)
