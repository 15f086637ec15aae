//! The settings by name, but for those of OTLP, which stand in `otlp.rs`.

use super::key::Key;

pub(super) static FORMAT: Key = Key::new(
    "spans.format",
    "How spans are written: `pretty`, a tree for people, or `otlp-json`, one OTLP request a line.",
    "by where they go",
    "\"otlp-json\"",
)
.flag("--format")
.at_start();

pub(super) static OUTPUT: Key = Key::new(
    "spans.output",
    "File that spans are written to; `-` for standard output.",
    "\"-\"",
    "\"/var/lib/geophone/spans.jsonl\"",
)
.flag("--output")
.at_start();

pub(super) static SEMCONV: Key = Key::new(
    "spans.semconv",
    "Whose names are used: `1.41`, `latest`, or `both`.",
    "\"1.41\"",
    "\"both\"",
)
.flag("--semconv")
.variables(&["OTEL_SEMCONV_STABILITY_OPT_IN"]);

pub(super) static TOOL_LOOP: Key = Key::new(
    "spans.tool_loop",
    "Infer the loops of agents: calls that hand results of tools to the model become one trace.",
    "false",
    "true",
)
.flag("--tool-loop");

pub(super) static CAPTURE: Key = Key::new(
    "content.capture",
    "Where prompts and completions go: `none`, `span`, `event`, or `both`.",
    "\"none\"",
    "\"span\"",
)
.flag("--content")
.variables(&["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"]);

pub(super) static LIMIT: Key = Key::new(
    "content.limit",
    "About how many bytes a content attribute may have.",
    "262144",
    "65536",
)
.flag("--content-limit");

pub(super) static LOG_EXPORTERS: Key = Key::new(
    "content.exporters",
    "Where the log records of content on events go: `otlp`, `console`, `none`, or several of them.",
    "where spans go",
    "[\"otlp\"]",
)
.variables(&["OTEL_LOGS_EXPORTER"])
.at_start();

pub(super) static BUILTIN: Key = Key::new(
    "redaction.builtin",
    "Take out what has a known form: `email`, `credit-card`, `secrets`, `personal`, `all`, …",
    "[]",
    "[\"secrets\", \"email\"]",
)
.flag("--redact")
.adding_up();

pub(super) static PATTERNS: Key = Key::new(
    "redaction.patterns",
    "Take out what these regular expressions match; of a group called `redact` that alone.",
    "[]",
    "['CUST-\\d+']",
)
.flag("--redact-pattern")
.adding_up();

pub(super) static PATHS: Key = Key::new(
    "redaction.paths",
    "Take out what these JSON paths (RFC 9535) select of the content attributes.",
    "[]",
    "[\"$..password\"]",
)
.flag("--redact-path")
.adding_up();

pub(super) static FILES: Key = Key::new(
    "redaction.files",
    "Files with rules, as `--redact-file` takes them.",
    "[]",
    "[\"redaction.toml\"]",
)
.flag("--redact-file")
.adding_up();

pub(super) static RULES: Key = Key::new(
    "redaction.rules",
    "Rules with a name, which stands in place of what they take out; each has a `pattern` or a `path`.",
    "[]",
    "[{ name = \"customer\", pattern = 'CUST-\\d+' }]",
)
.adding_up();

pub(super) static SESSION_HEADERS: Key = Key::new(
    "sessions.headers",
    "Request headers that hold a session or conversation id, the most telling first.",
    "[]",
    "[\"x-session-id\"]",
)
.flag("--session-header");

pub(super) static PRICES: Key = Key::new(
    "prices.file",
    "Price list that goes before the one compiled in: LiteLLM's table, or TOML.",
    "–",
    "\"prices.toml\"",
)
.flag("--prices");

pub(super) static WRITE: Key = Key::new(
    "metrics.write",
    "Write the metrics as well, once, behind the last span.",
    "false",
    "true",
)
.flag("--metrics")
.at_start();

pub(super) static PROMETHEUS: Key = Key::new(
    "metrics.prometheus",
    "Serve the metrics at http://ADDR/metrics, signs of life beside them; a port alone means this host only.",
    "–",
    "\"127.0.0.1:9464\"",
)
.flag("--prometheus")
.at_start();

pub(super) static METRIC_EXPORTERS: Key = Key::new(
    "metrics.exporters",
    "Where metrics go: `otlp`, `prometheus`, `console`, `none`, or several of them.",
    "where spans go",
    "[\"otlp\", \"prometheus\"]",
)
.variables(&["OTEL_METRICS_EXPORTER"])
.at_start();

pub(super) static INTERVAL: Key = Key::new(
    "metrics.interval_ms",
    "Milliseconds between two exports over OTLP.",
    "60000",
    "60000",
)
.variables(&["OTEL_METRIC_EXPORT_INTERVAL"])
.at_start();

pub(super) static OTLP_ENABLED: Key = Key::new(
    "otlp.enabled",
    "Whether spans, metrics and log records are sent to a backend.",
    "whether there is an endpoint",
    "true",
)
.flag("--otlp")
.at_start();

pub(super) static OTLP_QUEUE: Key = Key::new(
    "otlp.queue_size",
    "Most spans that are kept for a backend that is slow or away, 64 MiB in all; then the oldest are dropped and counted.",
    "8192",
    "20000",
)
.variables(&["OTEL_BSP_MAX_QUEUE_SIZE"])
.at_start();

pub(super) static RING_SIZE: Key = Key::new(
    "probes.ring_size",
    "Bytes of room for what the probes saw and geophone has not read yet; what does not fit is lost and counted.",
    "33554432",
    "134217728",
)
.flag("--ring-size")
.at_start();

pub(super) static TRACE: Key = Key::new(
    "selection.trace",
    "Whether processes are traced that no rule names; `false` makes the rules a list of those that are.",
    "true",
    "false",
);

pub(super) static MAY_HAVE_CONTENT: Key = Key::new(
    "selection.content",
    "Whether prompts and completions of processes that no rule names may be kept, if they are at all.",
    "true",
    "false",
);

pub(super) static ONLY: Key = Key::new(
    "selection.only",
    "Leave alone who fits none of these: `exe=GLOB`, `command=GLOB`, `namespace=GLOB`, `pod=GLOB`, `label.KEY=GLOB`.",
    "everybody",
    "[\"namespace=agents-*\"]",
)
.flag("--only");

pub(super) static SKIP: Key = Key::new(
    "selection.skip",
    "Leave alone who fits one of these, before any rule is asked.",
    "[]",
    "[\"command=* --batch *\"]",
)
.flag("--skip")
.adding_up();

pub(super) static SELECTION_RULES: Key = Key::new(
    "selection.rules",
    "In order, the first that fits decides: globs `exe`, `command`, `namespace`, `pod`, `labels`, and `trace` or `content`.",
    "[]",
    "[{ name = \"personnel\", namespace = \"hr-*\", trace = false }]",
);

pub(super) static NODE: Key = Key::new(
    "kubernetes.node",
    "Ask the API server for the pods of this node, so that telemetry names pods, containers and workloads.",
    "–",
    "\"node-1\"",
)
.flag("--kubernetes-node")
.variables(&["NODE_NAME"])
.at_start();

pub(super) static LOG_FILTER: Key = Key::new(
    "log.filter",
    "What geophone says of its own work: a level, or `module=level` pairs.",
    "\"warn\"",
    "\"info\"",
)
.flag("--log")
.variables(&["GEOPHONE_LOG"]);
