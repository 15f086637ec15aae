//! The `geophone` binary as a user meets it: usage, errors, exit codes and replay. Nothing here needs root.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use tracer_user::capture::Recording;
use tracer_user::event::{ConnectionKey, Data, Direction, Host, Monotonic, ProbeEvent, Process, ProcessKey};

#[test]
fn help_says_what_can_be_done() {
    let commands = [
        &["--help"][..],
        &["attach", "--help"],
        &["exec", "--help"],
        &["record", "--help"],
        &["replay", "-h"],
        &["top", "-h"],
        &["doctor", "-h"],
        &["config", "--help"],
        &["config", "check", "--help"],
    ];
    let help: Vec<String> = commands
        .iter()
        .map(|arguments| {
            let output = run(geophone().args(*arguments));
            assert_eq!(output.status.code(), Some(0));
            format!("$ geophone {}\n{}", arguments.join(" "), text(&output.stdout))
        })
        .collect();
    let help = help.join("\n");
    // Only the feature `k8s` brings these paragraphs.
    let (kubernetes, help): (Vec<&str>, Vec<&str>) = help
        .split("\n\n")
        .partition(|paragraph| paragraph.starts_with("Kubernetes:"));
    insta::assert_snapshot!(help.join("\n\n"));
    assert_eq!(!kubernetes.is_empty(), cfg!(feature = "k8s"));
    assert!(
        kubernetes
            .iter()
            .all(|paragraph| paragraph.contains("--kubernetes-node"))
    );
}

#[test]
fn help_is_a_command_too() {
    let asked = |arguments: &[&str]| {
        let output = run(geophone().args(arguments));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        text(&output.stdout)
    };
    assert_eq!(asked(&["help"]), asked(&["--help"]));
    assert_eq!(asked(&["help", "top"]), asked(&["top", "--help"]));
}

#[test]
fn bad_usage_is_exit_code_2_and_says_what_is_wrong() {
    let cases: [(&[&str], &str); 22] = [
        (&[], "Usage: geophone"),
        (&["repaly"], "a similar subcommand exists: 'replay'"),
        (
            &["run", "--promethues", "9464"],
            "similar argument exists: '--prometheus'",
        ),
        (&["attach"], "--pid <PID>"),
        (&["attach", "--pid", "0"], "0 is not in 1..=4194304"),
        (&["attach", "--pid", "self"], "invalid digit"),
        (&["exec"], "<CMD>..."),
        (&["record", "-o", "x.pcapng"], "<--pid <PID>|CMD>"),
        (
            &["record", "-o", "x.pcapng", "--pid", "1", "--", "true"],
            "cannot be used with",
        ),
        (&["record", "-o", "-", "--", "true"], "it belongs to the command"),
        (
            &["record", "-o", "-", "--output", "-", "--pid", "1"],
            "spans go there already",
        ),
        (
            &["replay", "--format", "xml", "x.pcapng"],
            "possible values: pretty, otlp-json",
        ),
        (&["replay", "--prometheus", "9464", "x.pcapng"], "add --metrics"),
        (&["run", "--prometheus", "everywhere"], "an IP address and a port"),
        (
            &["replay", "--log", "tracer_user=loud", "x.pcapng"],
            "level or `module=level` pairs",
        ),
        (
            &["replay", "--redact", "email,nonsense", "x.pcapng"],
            "there is no pattern called `nonsense`",
        ),
        (
            &["replay", "--redact-pattern", "(", "x.pcapng"],
            "unclosed group; see https://docs.rs/regex",
        ),
        (
            &["replay", "--redact-path", "$.a[", "x.pcapng"],
            "write it as RFC 9535 has it",
        ),
        (
            &["replay", "--content-limit", "5", "x.pcapng"],
            "a number of bytes from 1024 to 1048576",
        ),
        (
            &["replay", "--semconv", "1.36", "x.pcapng"],
            "possible values: 1.41, latest, both",
        ),
        (
            &["replay", "--session-header", "Authorization", "x.pcapng"],
            "holds a credential",
        ),
        (
            &["replay", "--session-header", "x-chat: 1", "x.pcapng"],
            "no header can have that name",
        ),
    ];
    for (arguments, message) in cases {
        let output = run(geophone().args(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            text(&output.stderr).contains(message),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn an_error_says_what_why_and_what_to_try() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("missing.pcapng");
    let output = run(geophone().arg("replay").arg(&missing));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        format!(
            "error: cannot replay {}\n  why: reading failed: No such file or directory (os error 2)\n  \
             try: check that the file exists and that you may read it\n",
            missing.display()
        )
    );

    let pcap = folder.path().join("old.pcap");
    fs::write(&pcap, b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00").expect("a file");
    let output = run(geophone().arg("replay").arg(&pcap));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("old pcap format"),
        "{}",
        text(&output.stderr)
    );

    let output = run(geophone()
        .args(["replay", "--output", "/no/such/folder/x"])
        .arg(recording(folder.path())));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: cannot write spans to /no/such/folder/x"));
}

#[test]
fn a_process_that_is_not_there_or_a_thread_is_named() {
    // A child that was waited for is gone, and its pid is not given again at once.
    let mut child = Command::new("true").spawn().expect("true runs");
    child.wait().expect("true ends");
    let output = run(geophone().args(["attach", "--pid", &child.id().to_string()]));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("there is no process with this id"),
        "{}",
        text(&output.stderr)
    );

    // The test harness runs each test on a thread of its own; this one lasts until the test ends.
    let own = fs::read_link("/proc/thread-self").expect("/proc is mounted");
    let thread = own
        .file_name()
        .expect("PID/task/TID")
        .to_string_lossy()
        .into_owned();
    let output = run(geophone().args(["attach", "--pid", &thread]));
    let message = format!("{thread} is a thread of process {}", std::process::id());
    assert!(
        text(&output.stderr).contains(&message),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_command_that_cannot_be_run_has_the_exit_codes_of_a_shell() {
    for (command, code, message) in [
        ("no-such-command", 127, "there is no such command"),
        ("/no/such/command", 127, "there is no such command"),
        ("/etc/passwd", 126, "permission denied"),
        ("/etc", 126, "permission denied"),
    ] {
        let output = run(geophone().args(["exec", "--", command]));
        assert_eq!(output.status.code(), Some(code), "{command}");
        let stderr = text(&output.stderr);
        assert!(
            stderr.contains(&format!("cannot run {command}")) && stderr.contains(message),
            "{stderr}"
        );
    }
}

#[test]
fn a_replay_counts_what_it_saw() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = run(geophone().arg("replay").arg(recording(folder.path())));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).starts_with("geophone: 1 span from 1 connection, 1 of them to Bedrock"),
        "{}",
        text(&output.stderr)
    );
    let stdout = text(&output.stdout);
    assert_eq!(stdout.lines().count(), 1, "one line for one span: {stdout}");
    let line: serde_json::Value = serde_json::from_str(&stdout).expect("OTLP JSON");
    assert_eq!(
        line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"],
        "chat m"
    );
}

#[test]
fn a_replay_is_the_same_every_time_and_from_a_pipe() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = recording(folder.path());
    let once = run(geophone().arg("replay").arg(&file));
    let again = run(geophone().arg("replay").arg(&file));
    let piped = run(geophone()
        .args(["replay", "-"])
        .stdin(fs::File::open(&file).expect("the recording")));
    assert!(!once.stdout.is_empty());
    assert_eq!(text(&once.stdout), text(&again.stdout));
    assert_eq!(text(&once.stdout), text(&piped.stdout));
}

#[test]
fn a_replay_tells_its_metrics_behind_the_last_span_when_asked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = recording(folder.path());
    let json = run(geophone().args(["replay", "--metrics"]).arg(&file));
    assert_eq!(json.status.code(), Some(0), "{}", text(&json.stderr));
    let again = run(geophone().args(["replay", "--metrics"]).arg(&file));
    assert_eq!(text(&json.stdout), text(&again.stdout));
    let stdout = text(&json.stdout);
    let [_, line] = stdout.lines().collect::<Vec<_>>()[..] else {
        panic!("a line for the span and one for the metrics: {stdout}");
    };
    let line: serde_json::Value = serde_json::from_str(line).expect("OTLP JSON");
    let resource = &line["resourceMetrics"][0];
    let metrics = resource["scopeMetrics"][0]["metrics"].as_array();
    let names: Vec<_> = metrics
        .into_iter()
        .flatten()
        .filter_map(|metric| metric["name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "gen_ai.client.token.usage",
            "gen_ai.client.operation.duration",
            "geophone.cost.unpriced_calls"
        ]
    );

    let prices = folder.path().join("prices.toml");
    fs::write(&prices, "price = [{ model = \"m\", input = 3.0, output = 15.0 }]").expect("a file");
    let pretty = run(geophone()
        .args(["replay", "--metrics", "--format", "pretty", "--prices"])
        .args([&prices, &file]));
    let pretty = text(&pretty.stdout);
    let (_, table) = pretty.split_once("metrics of").expect("the metrics come last");
    insta::assert_snapshot!(table);
}

#[test]
fn content_on_events_is_a_log_record_behind_its_span_unless_logs_are_unwanted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = recording(folder.path());
    let replay = |variables: &[(&str, &str)]| -> Vec<serde_json::Value> {
        let output = run(geophone()
            .arg("replay")
            .arg(&file)
            .env("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "EVENT_ONLY")
            .envs(variables.iter().copied()));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let stdout = text(&output.stdout);
        let lines = stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("OTLP JSON"))
            .collect()
    };
    let span = |line: &serde_json::Value| line["resourceSpans"][0]["scopeSpans"][0]["spans"][0].clone();

    let lines = replay(&[]);
    let [first, record] = lines.as_slice() else {
        panic!("a line for the span and one for its details: {lines:?}");
    };
    let record = &record["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!(record["eventName"], "gen_ai.client.inference.operation.details");
    assert_eq!(record["spanId"], span(first)["spanId"]);
    assert_eq!(record["traceId"], span(first)["traceId"]);
    let attributes = record["attributes"].as_array().expect("attributes");
    let value = |key: &str| {
        let attribute = attributes.iter().find(|attribute| attribute["key"] == key);
        attribute.map(|attribute| &attribute["value"])
    };
    let message = &value("gen_ai.output.messages").expect("an answer")["arrayValue"]["values"][0];
    let role = &message["kvlistValue"]["values"][0];
    assert_eq!(
        (&role["key"], &role["value"]["stringValue"]),
        (&"role".into(), &"assistant".into())
    );
    assert!(value("gen_ai.usage.input_tokens").is_some(), "as on the span");
    assert!(!span(first).to_string().contains("gen_ai.output.messages"));

    let lines = replay(&[("OTEL_LOGS_EXPORTER", "none")]);
    let [line] = lines.as_slice() else {
        panic!("the span alone: {lines:?}");
    };
    assert_eq!(
        span(line)["events"][0]["name"],
        "gen_ai.client.inference.operation.details"
    );
}

#[test]
fn a_cut_recording_is_replayed_and_the_loss_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = recording(folder.path());
    let whole = fs::read(&file).expect("the recording");
    fs::write(&file, &whole[..whole.len() - 10]).expect("the cut recording");
    let output = run(geophone().arg("replay").arg(&file));
    assert_eq!(output.status.code(), Some(0));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("left out of") && stderr.contains("cut off at the end of the file"),
        "{stderr}"
    );
    assert!(stderr.contains("capture_blocks_skipped=1"), "{stderr}");
    assert_eq!(text(&output.stdout).lines().count(), 1);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut child = geophone()
        .arg("replay")
        .arg(recording(folder.path()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("geophone runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("geophone ends");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn a_backend_that_cannot_be_meant_is_refused_by_its_variable() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = run(geophone()
        .arg("replay")
        .arg(recording(folder.path()))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: OTEL_EXPORTER_OTLP_PROTOCOL is `http/json`"));
}

#[test]
fn a_file_of_settings_is_checked_with_all_that_it_names() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("geophone.toml");
    let shown = file.display().to_string();
    let check = |settings: &str| {
        fs::write(&file, settings).expect("a file");
        let output = run(geophone().args(["config", "check"]).arg(&file));
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(check(""), (Some(0), format!("{shown}: fine\n")));

    fs::write(folder.path().join("prices.toml"), "price = [\n { model = 3 },\n]").expect("a file");
    fs::write(folder.path().join("rules.toml"), "\nbuiltin = ['emial']").expect("a file");
    let (code, said) = check(
        "[prices]\nfile = 'prices.toml'\n[redaction]\nfiles = ['rules.toml']\n[otlp]\nendpoint = 'collector:4318'\n\
         certificate = 'ca.pem'\n[otlp.logs]\nprotocol = 'http/json'\n[metrics\n",
    );
    assert_eq!(code, Some(1));
    let lines: Vec<&str> = said.lines().collect();
    let wanted = [
        ":2:8: `prices.file` is ",
        ":4:9: `redaction.files` has ",
        ":6:12: `otlp.endpoint` is not an address to send to",
        ":7:15: `otlp.certificate` is ",
        ":9:12: `otlp.logs.protocol` is `http/json`",
        ":10:9: this is no TOML: ",
    ];
    assert_eq!(lines.len(), wanted.len(), "{said}");
    for (line, wanted) in lines.iter().zip(wanted) {
        assert!(line.starts_with(&format!("{shown}{wanted}")), "{line}");
    }
    assert!(
        said.contains("prices.toml: line 2: ") && said.contains("rules.toml: line 2: "),
        "{said}"
    );

    // The same file is no start.
    let recording = recording(folder.path());
    let output = run(geophone()
        .arg("replay")
        .arg(&recording)
        .arg("--config")
        .arg(&file));
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains(":10:9: this is no TOML"));
    // None that was named is no reason to go on without.
    let output = run(geophone()
        .arg("replay")
        .arg(&recording)
        .args(["--config", "/no/such/file"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("/no/such/file cannot be read: No such file"));
}

#[test]
fn a_replay_goes_by_a_file_that_it_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (file, recording) = (folder.path().join("geophone.toml"), recording(folder.path()));
    fs::write(
        &file,
        "[content]\ncapture = 'span'\n[spans]\nformat = 'otlp-json'\n",
    )
    .expect("a file");
    let told = |command: &mut Command| {
        let output = run(command.arg("replay").arg(&recording));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(!told(&mut geophone()).contains("gen_ai.input.messages"));
    let by_variable = told(geophone().env("GEOPHONE_CONFIG", &file));
    assert!(by_variable.contains("gen_ai.input.messages"), "{by_variable}");
    let narrowed = told(
        geophone()
            .env("GEOPHONE_CONFIG", &file)
            .env("GEOPHONE_CONTENT_CAPTURE", "none"),
    );
    assert!(!narrowed.contains("gen_ai.input.messages"));
}

#[test]
fn the_doctor_ends_as_it_says() {
    let output = run(geophone().arg("doctor"));
    let stdout = text(&output.stdout);
    assert!(stdout.starts_with("Host\n"), "{stdout}");
    let (verdict, code) = if stdout.contains("  missing  ") {
        ("This host cannot be traced now", 1)
    } else {
        ("This host can be traced.", 0)
    };
    assert!(stdout.contains(verdict), "{stdout}");
    assert_eq!(output.status.code(), Some(code), "{stdout}");
}

/// The binary, out of reach of what the environment of the tests may say.
fn geophone() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_geophone"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OTEL_") || name == "GEOPHONE_LOG" || name == "GEOPHONE_CONFIG"
        {
            command.env_remove(name);
        }
    }
    command.env("COLUMNS", "100").stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("geophone runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A Converse call and its answer.
fn recording(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("run.pcapng");
    let mut recording = Recording::create(&path).expect("a recording");
    for event in a_call() {
        recording.event(&event).expect("room on the disk");
    }
    recording.flush().expect("room on the disk");
    path
}

fn a_call() -> Vec<ProbeEvent<'static>> {
    let process = ProcessKey {
        pid: 812,
        start_ns: 5_530_000_000,
    };
    let connection = ConnectionKey {
        process,
        address: 0x55d0,
        generation: 1,
    };
    let request_body = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
    let mut request = Vec::new();
    write!(
        request,
        "POST /model/m/converse HTTP/1.1\r\nHost: bedrock-runtime.us-east-1.amazonaws.com\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{request_body}",
        request_body.len()
    )
    .expect("memory takes all");
    let response_body = concat!(
        r#"{"output":{"message":{"role":"assistant","content":[{"text":"ho"}]}},"stopReason":"end_turn","#,
        r#""usage":{"inputTokens":3,"outputTokens":1,"totalTokens":4},"metrics":{"latencyMs":7}}"#
    );
    let mut response = Vec::new();
    write!(
        response,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{response_body}",
        response_body.len()
    )
    .expect("memory takes all");
    let data = |direction, time, bytes: Vec<u8>| {
        ProbeEvent::Data(Data {
            connection,
            direction,
            thread: 812,
            time: Monotonic(time),
            stream_offset: 0,
            call_length: bytes.len() as u64,
            call_offset: 0,
            joined_late: false,
            unpaired: false,
            bytes: bytes.into(),
        })
    };
    vec![
        ProbeEvent::Host(Host {
            boot_id: "3f0d6f5e-8c1c-4f5b-9d44-0f3f8a3c1b2a".to_owned(),
            name: "worker-7".to_owned(),
            wall_offset_ns: 1_700_000_000_000_000_000,
        }),
        ProbeEvent::Process(Arc::new(Process {
            key: process,
            parent_pid: 1,
            executable: "/usr/bin/python3.13".to_owned(),
            command_line: vec!["python3".to_owned(), "app.py".to_owned()],
            environment: Vec::new(),
            cgroup: String::new(),
            pod: None,
            withheld: tracer_user::event::pod::Wishes::default(),
        })),
        ProbeEvent::Open {
            connection,
            time: Monotonic(1_000),
        },
        data(Direction::Write, 2_000, request),
        data(Direction::Read, 9_000, response),
        ProbeEvent::Tick(Monotonic(10_000)),
        ProbeEvent::Close {
            connection,
            time: Monotonic(11_000),
        },
    ]
}
