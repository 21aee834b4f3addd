//! The flags that control the log.

/// The log's level and format.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = super::REPORTS)]
pub struct Logs {
    /// The log level: off, error, warn, info, debug or trace. The command `loglevel` changes it
    /// while the host runs.
    #[arg(long, env = "DROPIN_LOG", value_name = "LEVEL", default_value = "info")]
    pub log_level: log::LevelFilter,

    /// The format of the log on standard error: `text` for people, `json` for programs, one object
    /// a line. Text that goes to systemd's journal has priorities, and no times of its own.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}
