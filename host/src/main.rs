//! The host's entry point. All code is in the library, so that tests can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    dropin_host::main()
}
