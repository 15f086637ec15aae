//! `geophone config`: what geophone is told, by whom, and whether it can be followed.

mod check;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::arguments::{Arguments, KubernetesOptions, ProbeOptions, SpanOptions};
use super::failure::Failure;
use super::selection::SelectionOptions;

/// What to do with settings.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum Config {
    /// Say everything that is wrong with a file of settings.
    ///
    /// Exit code 0 when all is well, else 1. Price lists, rules of redaction and certificates that it names are looked into
    /// as well. Without FILE: the one that `geophone run` would read.
    Check(Check),
    /// Show every setting of `geophone run`, and who gave it: the file, a variable, a flag, nobody.
    ///
    /// Takes the flags of `geophone run`. Headers of OTLP are never shown.
    Show(Box<Show>),
    /// Write a file of settings in which all are explained and none is set.
    Example,
}

/// What to check.
#[derive(Debug, Clone, Args)]
pub(super) struct Check {
    /// File to check.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// How to show.
#[derive(Debug, Clone, Args)]
pub(super) struct Show {
    /// How settings are shown: for people, or as a file of settings or JSON for programs.
    #[arg(long = "as", value_enum, value_name = "FORM", default_value = "text")]
    form: Form,
    #[command(flatten)]
    pub(super) spans: SpanOptions,
    #[command(flatten)]
    pub(super) probes: ProbeOptions,
    #[command(flatten)]
    pub(super) kubernetes: KubernetesOptions,
    #[command(flatten)]
    pub(super) selection: SelectionOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A line each.
    Text,
    /// As a file of settings, with those that are given.
    Toml,
    /// An array of objects.
    Json,
}

/// Does it.
pub(super) fn config(what: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    match what {
        Config::Check(Check { file }) => check::check(file.clone(), arguments),
        Config::Show(show) => show::show(show.form, arguments),
        Config::Example => show::example(),
    }
}
