//! Arguments to run to exit code, and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    dropin_host::main()
}
