"""How the test harness talks to a client program.

The program prints `{"ready": PID}`, then reads batches from standard input, one JSON object a line:

    {"calls": [CALL, …], "threads": N}

It makes the calls, prints one JSON line per call with what it saw, then `{"done": true}`, and waits for the next batch.
It ends when standard input closes. A call is

    {"id": 7, "operation": "Converse", "model": "…", "body": {…}, "take": 3}

where `body` is the JSON body of the request and `take` (streams only) stops reading after so many events and closes.
"""

import base64
import json
import os
import sys
import threading

_print_lock = threading.Lock()


def say(value):
    with _print_lock:
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def batches():
    say({"ready": os.getpid()})
    for line in sys.stdin:
        yield json.loads(line)
        say({"done": True})


def arguments(call):
    """Keyword arguments of the SDK's method for this call."""
    if call["operation"].startswith("Converse"):
        return {"modelId": call["model"], **call["body"]}
    return {
        "modelId": call["model"],
        "body": json.dumps(call["body"], ensure_ascii=False),
        "contentType": "application/json",
        "accept": "application/json",
    }


METHODS = {
    "Converse": "converse",
    "ConverseStream": "converse_stream",
    "InvokeModel": "invoke_model",
    "InvokeModelWithResponseStream": "invoke_model_with_response_stream",
}


class Seen:
    """What came back of one call."""

    def __init__(self, call):
        self.fields = {"id": call["id"], "request_id": None, "status": None, "events": 0, "text": ""}

    def head(self, response):
        metadata = response["ResponseMetadata"]
        self.fields["request_id"] = metadata["RequestId"]
        self.fields["status"] = metadata["HTTPStatusCode"]
        self.fields["attempts"] = metadata["RetryAttempts"] + 1

    def converse(self, response):
        blocks = response["output"]["message"]["content"]
        self.fields["text"] = "".join(block.get("text", "") for block in blocks)
        self.fields["tool"] = next((block["toolUse"] for block in blocks if "toolUse" in block), None)
        self.fields["stop_reason"] = response["stopReason"]
        self.fields["usage"] = response["usage"]

    def invoke(self, body):
        self.fields["body"] = json.loads(body)

    def event(self, event):
        self.fields["events"] += 1
        if "chunk" in event:
            self.inner(json.loads(event["chunk"]["bytes"]))
        else:
            self.inner(event)

    def inner(self, event):
        delta = event.get("contentBlockDelta", {}).get("delta", {})
        self.fields["text"] += delta.get("text", "") + event.get("outputText", "")
        if event.get("type") == "content_block_delta":
            self.fields["text"] += event["delta"].get("text", "")
        if "messageStop" in event:
            self.fields["stop_reason"] = event["messageStop"]["stopReason"]
        if event.get("type") == "message_delta":
            self.fields["stop_reason"] = event["delta"]["stop_reason"]
        if event.get("completionReason"):
            self.fields["stop_reason"] = event["completionReason"]
        if "metadata" in event:
            self.fields["usage"] = event["metadata"]["usage"]
        if "amazon-bedrock-invocationMetrics" in event:
            self.fields["metrics"] = event["amazon-bedrock-invocationMetrics"]

    def error(self, error):
        response = getattr(error, "response", None)
        if response:
            self.fields["error"] = response["Error"].get("Code")
            self.fields["message"] = response["Error"].get("Message")
            metadata = response.get("ResponseMetadata", {})
            self.fields["request_id"] = metadata.get("RequestId", self.fields["request_id"])
            self.fields["status"] = metadata.get("HTTPStatusCode", self.fields["status"])
            if "RetryAttempts" in metadata:
                self.fields["attempts"] = metadata["RetryAttempts"] + 1
        else:
            self.fields["error"] = type(error).__name__
            self.fields["message"] = str(error)


def configuration():
    """Connection settings from the command line: `ENDPOINT CA`."""
    endpoint, authority = sys.argv[1:3]
    return {
        "region_name": "us-east-1",
        "endpoint_url": endpoint,
        "verify": authority,
        "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "aws_session_token": base64.b64encode(b"a session token that nobody may store").decode(),
    }
