"""An OTLP collector that shares no code with geophone: it decodes with the opentelemetry-proto package.

    collector.py http|grpc [--certificate PEM --key PEM] [--path /v1/traces] [--metrics] [--logs]
                           [--header NAME=VALUE] [--unavailable N] [--reject] [--slow SECONDS] [--port N]

Prints one JSON line when it listens, `{"port": N}`; one for every request, `{"request": {…}}`; and one for every span it
accepted, `{"span": {…}}`. Of requests with metrics it tells nothing but, with --metrics, the metrics: `{"metric": {…}}`; of those with log
records likewise, with --logs: `{"log": {…}}`. Ends when standard input closes.
"""

import argparse
import gzip
import json
import ssl
import sys
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

parser = argparse.ArgumentParser()
parser.add_argument("protocol", choices=["http", "grpc"])
parser.add_argument("--certificate")
parser.add_argument("--key")
parser.add_argument("--path", default="/v1/traces", help="the one path that is served")
parser.add_argument("--header", help="NAME=VALUE that every request must carry")
parser.add_argument("--unavailable", type=int, default=0, help="answer so many requests with 503 or UNAVAILABLE first")
parser.add_argument("--metrics", action="store_true", help="tell of metrics")
parser.add_argument("--logs", action="store_true", help="tell of log records")
parser.add_argument("--reject", action="store_true", help="answer every request with 400 or INVALID_ARGUMENT")
parser.add_argument("--port", type=int, default=0, help="where to listen; a free port if it is not given")
parser.add_argument("--slow", type=float, default=0, help="seconds to take for every request")
options = parser.parse_args()

lock = threading.Lock()
unavailable_left = options.unavailable


def say(value):
    with lock:
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def value_of(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return attributes_of(value.kvlist_value.values)
    if kind == "bytes_value":
        return value.bytes_value.hex()
    return getattr(value, kind) if kind else None


def attributes_of(attributes):
    return {attribute.key: value_of(attribute.value) for attribute in attributes}


def accept(request):
    for of_resource in request.resource_spans:
        resource = attributes_of(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                say({"span": {
                    "resource": resource,
                    "scope": of_scope.scope.name,
                    "trace_id": span.trace_id.hex(),
                    "span_id": span.span_id.hex(),
                    "parent_span_id": span.parent_span_id.hex(),
                    "name": span.name,
                    "kind": span.kind,
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "attributes": attributes_of(span.attributes),
                    "events": [
                        {"name": event.name, "time": event.time_unix_nano, "attributes": attributes_of(event.attributes)}
                        for event in span.events
                    ],
                    "status": span.status.code,
                    "message": span.status.message,
                }})


def accept_metrics(request):
    if not options.metrics:
        return
    for of_resource in request.resource_metrics:
        resource = attributes_of(of_resource.resource.attributes)
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                data = getattr(metric, metric.WhichOneof("data"))
                for point in data.data_points:
                    told = {
                        "resource": resource,
                        "name": metric.name,
                        "unit": metric.unit,
                        "kind": metric.WhichOneof("data"),
                        "attributes": attributes_of(point.attributes),
                    }
                    if hasattr(point, "bucket_counts"):
                        told |= {"count": point.count, "sum": point.sum, "buckets": list(point.bucket_counts)}
                    else:
                        told["value"] = getattr(point, point.WhichOneof("value"))
                    say({"metric": told})


def accept_logs(request):
    if not options.logs:
        return
    for of_resource in request.resource_logs:
        resource = attributes_of(of_resource.resource.attributes)
        for of_scope in of_resource.scope_logs:
            for record in of_scope.log_records:
                say({"log": {
                    "resource": resource,
                    "event": record.event_name,
                    "severity": record.severity_number,
                    "time": record.time_unix_nano,
                    "trace_id": record.trace_id.hex(),
                    "span_id": record.span_id.hex(),
                    "attributes": attributes_of(record.attributes),
                }})


def verdict(headers):
    """What to answer: "accept", "unavailable", "reject" or "unauthorised"."""
    global unavailable_left
    time.sleep(options.slow)
    if options.header:
        name, _, wanted = options.header.partition("=")
        if headers.get(name.lower()) != wanted:
            return "unauthorised"
    with lock:
        if unavailable_left > 0:
            unavailable_left -= 1
            return "unavailable"
    return "reject" if options.reject else "accept"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers["content-length"]))
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path.endswith("/v1/metrics"):
            self.take(metrics_service_pb2.ExportMetricsServiceRequest(), body, accept_metrics)
            return
        if self.path.endswith("/v1/logs"):
            self.take(logs_service_pb2.ExportLogsServiceRequest(), body, accept_logs)
            return
        decision = verdict(headers) if self.path == options.path else "not found"
        status = {"accept": 200, "unavailable": 503, "reject": 400, "unauthorised": 401, "not found": 404}[decision]
        say({"request": {"path": self.path, "headers": headers, "status": status}})
        answer = b""
        if decision == "accept":
            request = trace_service_pb2.ExportTraceServiceRequest()
            request.ParseFromString(body)
            accept(request)
            answer = trace_service_pb2.ExportTraceServiceResponse().SerializeToString()
        self.send_response(status)
        if decision == "unavailable":
            self.send_header("Retry-After", "0")
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def take(self, request, body, accept):
        request.ParseFromString(body)
        accept(request)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def Export(self, request, context):
        accept_metrics(request)
        return metrics_service_pb2.ExportMetricsServiceResponse()


class Logs(logs_service_pb2_grpc.LogsServiceServicer):
    def Export(self, request, context):
        accept_logs(request)
        return logs_service_pb2.ExportLogsServiceResponse()


class Service(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        headers = dict(context.invocation_metadata())
        decision = verdict(headers)
        code = {
            "accept": grpc.StatusCode.OK,
            "unavailable": grpc.StatusCode.UNAVAILABLE,
            "reject": grpc.StatusCode.INVALID_ARGUMENT,
            "unauthorised": grpc.StatusCode.UNAUTHENTICATED,
        }[decision]
        say({"request": {"headers": headers, "status": code.name}})
        if decision != "accept":
            context.abort(code, f"the collector was asked to be {decision}")
        accept(request)
        return trace_service_pb2.ExportTraceServiceResponse()


def serve_http():
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def serve_grpc():
    server = grpc.server(futures.ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Service(), server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)
    if options.certificate:
        with open(options.key, "rb") as key, open(options.certificate, "rb") as certificate:
            credentials = grpc.ssl_server_credentials([(key.read(), certificate.read())])
        port = server.add_secure_port(f"localhost:{options.port}", credentials)
    else:
        port = server.add_insecure_port(f"127.0.0.1:{options.port}")
    server.start()
    serve_grpc.server = server  # kept alive as long as the program
    return port


say({"port": serve_http() if options.protocol == "http" else serve_grpc()})
sys.stdin.read()
