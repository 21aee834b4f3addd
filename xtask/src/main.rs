//! Development tasks, as `cargo xtask COMMAND`: build, install, run, test.

mod bench;
mod cargo;
mod check;
mod deb;
mod demo;
mod error;
mod fuzz;
mod install;
mod language;
mod left_out;
mod mutants;
mod new_plugin;
mod package;
mod package_docs;
#[path = "../../tests/src/package_variables.rs"]
mod package_variables;
mod profile;
mod program;
mod public_api;
mod soak;
mod tee;
mod threads;
#[cfg(unix)]
mod torture;
mod windows;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{error::TaskError, language::Language, profile::Profile};

/// Development tasks of Dropin.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build everything, install the shipped plugins into ./plugins and start the host.
    Run {
        #[command(flatten)]
        profile: Profile,
        /// Flags for the host, after `--`; without any, `--port 5000 --plugins ./plugins`.
        #[arg(last = true)]
        host: Vec<String>,
    },
    /// Replace a plugin several times while a client counts with it; fails where a request fails.
    Demo(demo::Demo),
    /// Build everything and install the shipped plugins into ./plugins.
    Plugins {
        #[command(flatten)]
        profile: Profile,
    },
    /// Build the Debian package of host, client and shipped plugins; needs cargo-deb.
    Deb {
        /// Install, upgrade, remove and purge it, in an overlay over this system that is discarded;
        /// needs root.
        #[arg(long = "try")]
        is_tried: bool,
    },
    /// Create a new plugin from a template.
    ///
    /// One in Rust is added to the workspace, tested and installed into ./plugins, where a running
    /// host serves it at once. One in another language is a folder in ./plugins.
    NewPlugin {
        /// The plugin's name: a-z, 0-9, - and _, a letter first.
        name: String,
        /// The language.
        #[arg(long, value_enum, default_value_t = Language::Rust)]
        language: Language,
        #[command(flatten)]
        profile: Profile,
    },
    /// Check formatting, lints and unit tests: the quick loop, without the end-to-end tests.
    Check,
    /// Package what is published, without publishing it.
    Package {
        /// Build each package from its own files, too.
        #[arg(long)]
        verify: bool,
    },
    /// Compare the plugin API's public interface with plugin-api/public-api.txt.
    PublicApi {
        /// Keep the new list, where nothing is removed or the major version is raised.
        #[arg(long)]
        bless: bool,
    },
    /// Run every test.
    Test {
        /// Arguments for `cargo test`, after `--`.
        #[arg(last = true)]
        cargo: Vec<String>,
    },
    /// Run unit tests and a short soak with the address sanitizer; needs the nightly toolchain.
    Sanitize {
        /// Reloads of each of the two plugins under load.
        #[arg(long, default_value_t = 100)]
        reloads: usize,
    },
    /// Reload plugins a thousand times under load and measure it.
    Soak(soak::Soak),
    /// Kill the host again and again under clients that write, and check that every acknowledged
    /// effect is there once.
    #[cfg(unix)]
    Torture(torture::Torture),
    /// Measure the host beside Redis and write the report; needs redis-server, redis-benchmark,
    /// taskset, valgrind, python3 and libclang.
    Bench(bench::Bench),
    /// Count the instructions of a request, and fail if a count differs by more than 2 % from the
    /// recorded one; needs valgrind.
    Instructions {
        /// Record the new counts, unchecked.
        #[arg(long)]
        bless: bool,
    },
    /// Feed arbitrary input to every parser of foreign data; needs the nightly toolchain and
    /// cargo-fuzz.
    Fuzz(fuzz::Fuzz),
    /// Change the code in many small ways, and fail if no test notices a change; needs
    /// cargo-mutants.
    Mutants(mutants::Mutants),
    /// Build for Windows and run the tests under Wine. Installs missing tools where it can.
    Windows(windows::Windows),
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode, TaskError> {
    match task {
        Task::Run { profile, host } => {
            build_and_install(profile.folder())?;
            return cargo::host(profile.folder(), &host);
        }
        Task::Demo(demo) => demo::run(&demo)?,
        Task::Plugins { profile } => build_and_install(profile.folder())?,
        Task::Deb { is_tried } => {
            let package = deb::build()?;
            println!("built {}", package.display());
            if is_tried {
                deb::test_installation(&package)?;
            }
        }
        Task::NewPlugin { name, language, profile } => {
            new_plugin::run(&name, language, profile.folder())?;
        }
        Task::Check => check::run()?,
        Task::Package { verify } => package::run(verify)?,
        Task::PublicApi { bless } => public_api::run(bless)?,
        Task::Test { cargo } => {
            cargo::build(&["--workspace", "--bins", "--lib"])?;
            cargo::test(&cargo)?;
        }
        Task::Soak(soak) => {
            soak::run(&soak)?;
            if !soak.figures_only && soak.crashes.is_none() {
                cargo::bad_files()?;
            }
        }
        #[cfg(unix)]
        Task::Torture(torture) => torture::run(&torture)?,
        Task::Bench(bench) => bench::run(&bench)?,
        Task::Instructions { bless } => bench::instructions(bless)?,
        Task::Fuzz(fuzz) => fuzz::run(&fuzz)?,
        Task::Mutants(mutants) => mutants::run(&mutants)?,
        Task::Windows(windows) => windows::run(&windows)?,
        Task::Sanitize { reloads } => {
            let built = Some(cargo::sanitized()?);
            soak::run(&soak::Soak {
                built,
                reloads,
                // Fewer than on other builds: the sanitizer's host must keep up with them, so that
                // a hand-over comes to its end.
                clients: 4,
                isolate: Vec::new(),
                threads: None,
                crashes: None,
                // The sanitizer slows everything down, far beyond the goals.
                timed: 0,
                // Its cache of time zones is in statics of a crate, and leaks with the library.
                without: vec!["clock".into()],
                figures_only: true,
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the shipped packages and installs the plugins.
fn build_and_install(profile: &str) -> Result<(), TaskError> {
    cargo::build_shipped(profile)?;
    install::plugins(profile)
}
