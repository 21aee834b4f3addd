//! The flags of the membership in a fleet.

use std::{path::PathBuf, time::Duration};

use super::units::seconds;

/// The name of a fleet that has no other.
const DEFAULT_NAME: &str = "default";

/// The membership in a fleet: hosts that answer each other's commands over NATS.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Fleet")]
pub struct FleetArgs {
    /// A NATS server, as nats://HOST:4222 or tls://HOST:4222. May be repeated, or name several with
    /// commas. Hosts that share servers answer each other's commands: one that is not loaded here is
    /// answered by a host that has it. In the settings file, this is also the key `servers` of the
    /// table [fleet]; the other flags of this group are keys of that table without `fleet-`.
    #[arg(long, value_name = "URL")]
    pub fleet: Vec<String>,

    /// The fleet's name. Hosts of other fleets on the same servers are not seen.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_NAME)]
    pub fleet_name: String,

    /// This host's name in the fleet, for people. Default: the machine's name and the port.
    #[arg(long, value_name = "NAME")]
    pub fleet_host: Option<String>,

    /// The credentials file of a NATS user, with its JWT and seed. It precedes --fleet-nkey.
    #[arg(long, value_name = "FILE")]
    pub fleet_credentials: Option<PathBuf>,

    /// A file with the seed of a NATS nkey.
    #[arg(long, value_name = "FILE")]
    pub fleet_nkey: Option<PathBuf>,

    /// A file of root certificates for tls://, besides those of the system.
    #[arg(long, value_name = "FILE")]
    pub fleet_roots: Option<PathBuf>,

    /// The longest time that another host may take for a command, in seconds, at least 0.001.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = some_time)]
    pub fleet_call_timeout: Duration,

    /// Offers a plugin that is put into the plugins folder to all hosts of the fleet. Needs
    /// --plugin-key, and a NATS server with JetStream.
    #[arg(long, requires = "plugin_key")]
    pub fleet_publish: bool,

    /// The time for which one host alone serves a new version of a plugin before the others take
    /// it, in seconds; 0: only until it is served. Counts for plugins that come to the fleet by
    /// this host.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub fleet_canary: Duration,
}

impl FleetArgs {
    /// Returns the servers. A comma that no address follows is one of a password.
    #[cfg_attr(not(feature = "fleet"), allow(dead_code, reason = "there are no members"))]
    pub fn servers(&self) -> Vec<String> {
        let mut servers: Vec<String> = Vec::new();
        for piece in self.fleet.iter().flat_map(|text| text.split_inclusive(',')) {
            match servers.last_mut().filter(|_| !piece.contains("://")) {
                Some(server) => server.push_str(piece),
                None => servers.push(piece.trim_start().to_owned()),
            }
        }
        for server in &mut servers {
            server.truncate(server.trim_end_matches([',', ' ']).len());
        }
        servers
    }

    /// Returns true if a flag is set that only counts for a member of a fleet.
    #[cfg_attr(not(feature = "fleet"), allow(dead_code, reason = "there are no members"))]
    pub fn are_for_a_member(&self) -> bool {
        let files = [&self.fleet_credentials, &self.fleet_nkey, &self.fleet_roots];
        self.fleet_name != DEFAULT_NAME
            || self.fleet_host.is_some()
            || self.fleet_publish
            || files.into_iter().any(Option::is_some)
    }
}

/// Parses a time in seconds that is not zero.
fn some_time(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        time if time < Duration::from_millis(1) => Err("a command needs at least 0.001 s".into()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        fleet: FleetArgs,
        #[arg(long)]
        plugin_key: bool,
    }

    #[test]
    fn commas_divide_addresses_only() {
        let words =
            ["host", "--fleet", "nats://a,tls://u:p,q@b:1, nats://c,", "--fleet", "nats://d"];
        let servers = Program::parse_from(words).fleet.servers();
        assert_eq!(servers, ["nats://a", "tls://u:p,q@b:1", "nats://c", "nats://d"]);
    }
}
