//! The flags of `host key`, which manages the keys of clients that are not trusted by address.

use auth::{
    date::{self, DAY},
    keys::{Role, now},
};

use super::place::StatePlace;

/// Add, list and revoke keys. A running host applies the change within a second.
#[derive(Debug, clap::Subcommand)]
pub enum KeyAction {
    /// Add a key. It is shown only once; the host keeps a hash of it.
    Add {
        /// The key's name, such as its owner's name.
        name: String,
        /// The role: `user` runs plugins' commands; `admin` also manages the host, with commands
        /// such as ks, plugin and stats, and sees and ends all sessions.
        #[arg(long, value_enum, default_value_t = Role::User)]
        role: Role,
        /// The commands that the key may run, as `name`, `plugin.name` or `plugin.*`. Default: all.
        #[arg(long, value_name = "PATTERN", num_args = 1..)]
        commands: Vec<String>,
        /// The number of days for which the key is valid, or its last day (2027-01-31, UTC).
        /// Default: it does not expire.
        #[arg(long, value_name = "DAYS|DATE", value_parser = parse_expiry)]
        expires: Option<u64>,
        /// The directory of the key file.
        #[command(flatten)]
        place: StatePlace,
    },
    /// List the keys: name, role, commands, and when each was made and expires.
    List {
        /// The directory of the key file.
        #[command(flatten)]
        place: StatePlace,
    },
    /// Revoke a key, which ends its sessions.
    Revoke {
        /// The key's name.
        name: String,
        /// The directory of the key file.
        #[command(flatten)]
        place: StatePlace,
    },
}

fn parse_expiry(text: &str) -> Result<u64, String> {
    /// The longest validity, a century: a longer one is taken for a mistake.
    const MOST: u64 = 36_525;
    let end = match text.parse::<u64>() {
        Ok(days) if (1..=MOST).contains(&days) => Some(now() + days * DAY),
        Ok(_) => None,
        Err(_) => date::parse(text).map(|start| start + DAY),
    };
    end.filter(|end| *end > now())
        .ok_or_else(|| "give a number of days, or a day to come such as 2027-01-31".into())
}
