//! The flags that say what is logged, and how.

/// What is logged, and how.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = super::REPORTS)]
pub struct Logs {
    /// What is logged: off, error, warn, info, debug or trace. The command `loglevel` changes it
    /// while the host runs.
    #[arg(long, env = "DROPIN_LOG", value_name = "LEVEL", default_value = "info")]
    pub log_level: log::LevelFilter,

    /// How the log on standard error is written: `text` for people, `json` for programs, one object
    /// a line. Text that goes to systemd's journal has priorities, and its times are the journal's.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}
