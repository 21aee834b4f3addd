//! The command line: its definition, its help, and the run from arguments to an exit code.

pub mod args;
pub mod command_line;
pub mod completion;
pub mod help;
pub mod manual;
pub mod run;
