//! `host key`: the keys of those who are not trusted for where they are.

use auth::{
    date::{self, DAY},
    keys::{Role, now},
};

use super::place::StatePlace;

/// Makes, shows and revokes keys. A running host notices within a second.
#[derive(Debug, clap::Subcommand)]
pub enum KeyAction {
    /// Make a key. It is shown this once; the host keeps only its hash.
    Add {
        /// What to call it: whose it is, say.
        name: String,
        /// `user` runs plugins' commands; `admin` also ks, plugin, and the clients of others.
        #[arg(long, value_enum, default_value_t = Role::User)]
        role: Role,
        /// The commands that it may run, by name, `plugin.name` or `plugin.*`; all without this.
        #[arg(long, value_name = "PATTERN", num_args = 1..)]
        commands: Vec<String>,
        /// How many days it is valid, or until the end of which day (2027-01-31, UTC).
        #[arg(long, value_name = "DAYS|DATE", value_parser = expiry)]
        expires: Option<u64>,
        /// Where the keys are kept.
        #[command(flatten)]
        place: StatePlace,
    },
    /// Show the keys' names and what they are for.
    List {
        /// Where the keys are kept.
        #[command(flatten)]
        place: StatePlace,
    },
    /// Revoke a key; its sessions end.
    Revoke {
        /// Its name.
        name: String,
        /// Where the keys are kept.
        #[command(flatten)]
        place: StatePlace,
    },
}

fn expiry(text: &str) -> Result<u64, String> {
    /// A century: what is longer is a slip.
    const MOST: u64 = 36_525;
    let end = match text.parse::<u64>() {
        Ok(days) if (1..=MOST).contains(&days) => Some(now() + days * DAY),
        Ok(_) => None,
        Err(_) => date::parse(text).map(|start| start + DAY),
    };
    end.filter(|end| *end > now())
        .ok_or_else(|| "give a number of days, or a day to come such as 2027-01-31".into())
}
