//! The flags of `host state`, which manages the saved state of plugins.

use std::path::PathBuf;

use super::{parse_port, place::StatePlace, plugin_table::plugin_name};

/// Check, repair, export and import the saved state of plugins.
///
/// The state of a plugin is its last snapshot and its journal, in the state directory of a port.
#[derive(Debug, clap::Subcommand)]
pub enum StateAction {
    /// Read the files of a plugin's state completely, and print what they have.
    ///
    /// Changes nothing, and may run while a host serves. Exit status: 0 when a host would open the
    /// state, 1 when it would not.
    Check {
        /// The plugin. Default: all that have a state.
        #[arg(value_parser = plugin_name)]
        name: Option<String>,
        /// The state directory and the port.
        #[command(flatten)]
        place: PortPlace,
    },
    /// Make a damaged state usable again: keep its longest correct part.
    ///
    /// Copies the damaged files into a folder NAME.damaged.TIME beside them first. No host may use
    /// the state meanwhile.
    Repair {
        /// The plugin.
        #[arg(value_parser = plugin_name)]
        name: String,
        /// Ask for no confirmation. Required without a terminal.
        #[arg(long)]
        yes: bool,
        /// The state directory and the port.
        #[command(flatten)]
        place: PortPlace,
    },
    /// Print the state of a plugin as lines of JSON, one command a line.
    ///
    /// Changes nothing, and may run while a host serves.
    Export {
        /// The plugin.
        #[arg(value_parser = plugin_name)]
        name: String,
        /// Write the lines into this new file instead of printing them.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The state directory and the port.
        #[command(flatten)]
        place: PortPlace,
    },
    /// Make the state of a plugin from lines of JSON, as `export` prints them.
    ///
    /// No host may use the state meanwhile.
    Import {
        /// The plugin.
        #[arg(value_parser = plugin_name)]
        name: String,
        /// The file with the lines; `-` or nothing for the standard input.
        #[arg(default_value = "-", hide_default_value = true)]
        file: PathBuf,
        /// Replace a state that is there: its files are kept in a folder NAME.replaced.TIME.
        #[arg(long)]
        replace: bool,
        /// The state directory and the port.
        #[command(flatten)]
        place: PortPlace,
    },
}

/// The flags that name the state directory of a port.
#[derive(Clone, Debug, clap::Args)]
pub struct PortPlace {
    /// The port of the host.
    #[arg(long, env = "DROPIN_PORT", default_value_t = 5000, value_parser = parse_port)]
    pub port: u16,

    /// The state directory.
    #[command(flatten)]
    pub state: StatePlace,
}
