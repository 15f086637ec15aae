//! The settings that the command line has. clap has read them.

use super::super::arguments::{
    Arguments, Command, KubernetesOptions, LogOptions, MetricOptions, ProbeOptions, RedactionOptions,
    SpanOptions, Top,
};
use super::super::config::Config;
use super::super::selection::SelectionOptions;
use super::Settings;
use super::setting::Setting;
use super::values::{FilePath, LogFilter, Text};

/// Gives what the command line says to the settings.
pub(super) fn give(arguments: &Arguments, settings: &mut Settings) {
    let Arguments {
        command,
        log,
        config: _,
    } = arguments;
    give_log(log, settings);
    match command {
        Command::Run(run) => {
            give_spans(&run.spans, settings);
            give_probes(run.probes, settings);
            give_kubernetes(&run.kubernetes, settings);
            give_selection(&run.selection, settings);
        }
        Command::Attach(attach) => {
            give_spans(&attach.spans, settings);
            give_probes(attach.probes, settings);
        }
        Command::Exec(exec) => {
            give_spans(&exec.spans, settings);
            give_probes(exec.probes, settings);
        }
        Command::Record(record) => {
            give_spans(&record.spans, settings);
            give_probes(record.probes, settings);
        }
        Command::Replay(replay) => give_spans(&replay.spans, settings),
        Command::Top(top) => give_top(top, settings),
        Command::Config(Config::Show(show)) => {
            give_spans(&show.spans, settings);
            give_probes(show.probes, settings);
            give_kubernetes(&show.kubernetes, settings);
            give_selection(&show.selection, settings);
        }
        Command::Doctor(doctor) => {
            give_kubernetes(&doctor.kubernetes, settings);
            give_selection(&doctor.selection, settings);
        }
        Command::Config(Config::Check(_) | Config::Example) | Command::Gate(_) => {}
    }
}

fn give_spans(options: &SpanOptions, settings: &mut Settings) {
    let SpanOptions {
        format,
        output,
        otlp,
        semconv,
        content,
        prices,
        content_limit,
        session_headers,
        metrics: MetricOptions { metrics, prometheus },
        redaction,
        tool_loop,
    } = options.clone();
    settings.spans.format.by_flag("--format", format);
    settings.spans.output.by_flag("--output", output.map(FilePath));
    settings.otlp.enabled.by_flag("--otlp", otlp);
    settings.spans.semconv.by_flag("--semconv", semconv);
    settings.content.capture.by_flag("--content", content);
    settings.prices.file.by_flag("--prices", prices.map(FilePath));
    settings.content.limit.by_flag("--content-limit", content_limit);
    list(
        &mut settings.sessions.headers,
        "--session-header",
        session_headers,
    );
    settings.metrics.write.by_flag("--metrics", metrics);
    settings.metrics.prometheus.by_flag("--prometheus", prometheus);
    settings.spans.tool_loop.by_flag("--tool-loop", tool_loop);
    give_redaction(redaction, settings);
}

fn give_probes(options: ProbeOptions, settings: &mut Settings) {
    let ProbeOptions { ring_size } = options;
    settings.probes.ring_size.by_flag("--ring-size", ring_size);
}

fn give_redaction(options: RedactionOptions, settings: &mut Settings) {
    let RedactionOptions {
        names,
        patterns,
        paths,
        files,
    } = options;
    let redaction = &mut settings.redaction;
    list(&mut redaction.builtin, "--redact", names);
    list(&mut redaction.patterns, "--redact-pattern", patterns);
    list(&mut redaction.paths, "--redact-path", paths);
    let files = files.into_iter().map(FilePath).collect();
    list(&mut redaction.files, "--redact-file", files);
}

fn give_kubernetes(options: &KubernetesOptions, settings: &mut Settings) {
    #[cfg(feature = "k8s")]
    let KubernetesOptions { kubernetes_node } = options.clone();
    #[cfg(not(feature = "k8s"))]
    let (KubernetesOptions {}, kubernetes_node) = (options, None);
    let node = kubernetes_node.map(Text);
    settings.kubernetes.node.by_flag("--kubernetes-node", node);
}

fn give_top(options: &Top, settings: &mut Settings) {
    let Top {
        file: _,
        pids: _,
        prices,
        session_headers,
        kubernetes,
        selection,
    } = options;
    let prices = prices.clone().map(FilePath);
    settings.prices.file.by_flag("--prices", prices);
    list(
        &mut settings.sessions.headers,
        "--session-header",
        session_headers.clone(),
    );
    give_kubernetes(kubernetes, settings);
    give_selection(selection, settings);
}

fn give_selection(options: &SelectionOptions, settings: &mut Settings) {
    let SelectionOptions { only, skip } = options;
    list(&mut settings.selection.only, "--only", only.clone());
    list(&mut settings.selection.skip, "--skip", skip.clone());
}

fn give_log(options: &LogOptions, settings: &mut Settings) {
    let LogOptions { verbose, log } = options;
    let verbose = match verbose {
        0 => None,
        1 => Some("warn,tracer_user=info"),
        2 => Some("info,tracer_user=debug"),
        _ => Some("trace"),
    };
    let verbose = verbose.map(|filter| LogFilter(filter.to_owned()));
    settings.log.filter.by_flag("--verbose", verbose);
    settings.log.filter.by_flag("--log", log.clone());
}

/// A flag that may be given several times, and was not if there is nothing.
fn list<T>(setting: &mut Setting<Vec<T>>, flag: &'static str, items: Vec<T>) {
    setting.by_flag(flag, (!items.is_empty()).then_some(items));
}
