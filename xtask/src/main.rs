//! `cargo xtask`: all automation of the workspace, so that no step lives in a shell script or in someone's memory.

mod bench;
mod command;
mod demo;
mod ebpf;
mod fake;
mod fixtures;
mod fuzz;
mod image;
mod setup;
mod soak;
mod test;
mod tidy;
mod vm;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Automation of the geophone workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measures what geophone costs; words after `--` go to the benchmark (`--quick`, `--only SECTION`, `--json FILE`).
    Bench {
        /// For the benchmark.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Traces a real boto3 program against a fake Bedrock and prints its calls as they happen.
    Demo,
    /// Builds the programs for the kernel into `tracer-user/bpf`; installs the compiler and the linker for that.
    Ebpf {
        /// Build nothing anew: prove that the committed programs come from the sources beside them.
        #[arg(long)]
        check: bool,
    },
    /// Cuts real programs down to what the resolvers look at, as fixtures of their tests.
    Fixtures {
        /// Which ones; all when none is named.
        names: Vec<String>,
        /// Cut this file instead of fetching the program.
        #[arg(long)]
        program: Option<PathBuf>,
    },
    /// Runs every fuzz target for a while; needs a nightly toolchain.
    Fuzz {
        /// Seconds for each target.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Builds the container image and runs it as the pod does: its size, how soon it is ready, and a call that it traces in a
    /// container of another image. Needs root, and docker or podman.
    Image {
        /// Where no registry can be reached: make the base images of Debian's packages (mmdebstrap) and this toolchain.
        #[arg(long)]
        bootstrap: bool,
        /// Build nothing: try the images that the last run built.
        #[arg(long, conflicts_with = "bootstrap")]
        built: bool,
    },
    /// Checks the rules of the house: layering, where unsafe and attribute names may stand, file sizes.
    Tidy,
    /// Installs what the end-to-end tests and the demonstration need: pinned Python environments, curl, node, Go, tshark,
    /// helm, kubectl, and client programs, which are built once into a cache (`GEOPHONE_CACHE`, else `~/.cache/geophone`).
    Setup,
    /// Lets processes of many kinds come and go under one geophone for ten minutes: nothing may be missing, nothing may be left
    /// behind. Prints what it cost. Needs root.
    Soak {
        /// Three minutes, with the geophone of the tests.
        #[arg(long)]
        quick: bool,
        /// So long.
        #[arg(long, conflicts_with = "quick")]
        seconds: Option<u32>,
    },
    /// Sets up what the tests need and runs all of them.
    Test,
    /// Boots Debian's oldest kernel under emulation and traces one call in it.
    Vm,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Bench { arguments } => bench::run_it(&arguments),
        Task::Demo => demo::run_it(),
        Task::Ebpf { check: false } => ebpf::build(),
        Task::Ebpf { check: true } => ebpf::check(),
        Task::Fixtures { names, program } => fixtures::run_it(&names, program.as_deref()),
        Task::Fuzz { seconds } => fuzz::run_it(seconds),
        Task::Image { bootstrap, built } => image::run_it(bootstrap, built),
        Task::Tidy => tidy::run(),
        Task::Setup => setup::setup()
            .map(|environment| command::say(&format!("ready: {}", environment.python.display()))),
        Task::Soak { quick, seconds } => soak::run_it(quick, seconds),
        Task::Test => test::run_all(),
        Task::Vm => vm::run_it(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            command::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
