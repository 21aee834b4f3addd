//! The membership of this host in a fleet, if it has one.

use std::{net::SocketAddr, sync::Arc, time::Instant};

#[cfg(feature = "fleet")]
use plugin_engine::trust::signature::PluginKey;
use plugin_engine::{
    context::RunningCall,
    registry::{Command, LiveRegistry},
};
use protocol::Encoder;

use super::{context::Shared, rollout_request::RolloutRequest};

/// The reason for which this host cannot become a member of a fleet.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// The settings cannot be used.
    #[cfg(feature = "fleet")]
    #[error(transparent)]
    Fleet(#[from] fleet::StartError),
    /// The key of rolled-out plugins cannot be read.
    #[cfg(feature = "fleet")]
    #[error(transparent)]
    Key(#[from] plugin_engine::trust::signature::PluginKeyError),
    /// This program has no part for it.
    #[cfg(not(feature = "fleet"))]
    #[error("cannot join a fleet: this host was built without the feature `fleet`")]
    Unavailable,
}

/// The membership of this host in a fleet. It begins after the plugins are loaded.
#[derive(Default)]
pub struct Membership {
    #[cfg(feature = "fleet")]
    fleet: std::sync::OnceLock<fleet::Fleet>,
}

#[cfg(feature = "fleet")]
impl Membership {
    /// Becomes a member, if the flags name a server.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub fn start(
        shared: &Arc<Shared>,
        registry: &Arc<LiveRegistry>,
        addresses: &[SocketAddr],
    ) -> Result<(), MembershipError> {
        let config = &shared.config;
        let flags = &config.fleet;
        if flags.fleet.is_empty() {
            if flags.are_for_a_member() {
                log::warn!("this host is in no fleet: name a NATS server with --fleet");
            }
            return Ok(());
        }
        let credentials = match (&flags.fleet_credentials, &flags.fleet_nkey) {
            (Some(file), _) => fleet::Credentials::File(file.clone()),
            (None, Some(file)) => fleet::Credentials::Nkey(file.clone()),
            (None, None) => fleet::Credentials::None,
        };
        let port = addresses.first().map_or(config.port, SocketAddr::port);
        let own_name = || format!("{}:{port}", platform::machine_name());
        let settings = fleet::Settings {
            servers: flags.servers(),
            fleet: flags.fleet_name.clone(),
            host: flags.fleet_host.clone().unwrap_or_else(own_name),
            addresses: addresses.to_vec(),
            credentials,
            roots: flags.fleet_roots.clone(),
            call_timeout: flags.fleet_call_timeout,
            limits: config.bounds.limits(),
            max_reply: config.bounds.max_reply,
            slow_call: config.bounds.slow_call,
            publish: flags.fleet_publish,
            canary: flags.fleet_canary,
        };
        let plugin_key = config.plugin_trust.plugin_key.as_deref().map(PluginKey::read);
        let host = fleet::HostParts {
            registry: Arc::clone(registry),
            plugin_control: shared.plugin_control.clone(),
            metrics: Arc::clone(&shared.metrics),
            shutdown: Arc::clone(&shared.shutdown) as _,
            events: Arc::clone(&shared.events),
            plugins: config.plugins.clone(),
            plugin_key: plugin_key.transpose()?.map(Arc::new),
            crashed: shared.crashed.clone(),
        };
        // Set once, at the start.
        let _ = shared.membership.fleet.set(fleet::Fleet::start(settings, host)?);
        Ok(())
    }

    /// Returns the running calls of these commands that other hosts have sent.
    pub fn running_calls(&self, commands: &[Arc<Command>]) -> Vec<Box<dyn RunningCall>> {
        self.fleet.get().map(|fleet| fleet.running_calls(commands)).unwrap_or_default()
    }

    /// Leaves the fleet. Returns the number of calls of other hosts that outlasted the deadline.
    pub fn end(&self, deadline: Option<Instant>) -> usize {
        self.fleet.get().map_or(0, |fleet| fleet.end(deadline))
    }

    /// Answers a request about rollouts.
    pub fn answer_rollout(&self, request: RolloutRequest<'_>, reply: &mut Encoder) {
        match self.fleet.get() {
            Some(fleet) => super::rollouts::answer(&fleet.rollouts(), request, reply),
            None => refuse(reply),
        }
    }

    /// Writes the members of the fleet.
    pub fn write_members(&self, reply: &mut Encoder) {
        let Some(fleet) = self.fleet.get() else { return refuse(reply) };
        let members = fleet.members();
        let text = |reply: &mut Encoder, key: &str, value: &str| {
            reply.text(key.as_bytes());
            reply.text(value.as_bytes());
        };
        let number = |reply: &mut Encoder, key: &str, value: usize| {
            reply.text(key.as_bytes());
            reply.integer(i64::try_from(value).unwrap_or(i64::MAX));
        };
        reply.map(5);
        text(reply, "fleet", fleet.name());
        text(reply, "host", fleet.host_name());
        text(reply, "nats", fleet.problem().as_deref().unwrap_or("connected"));
        number(reply, "running", fleet.running());
        reply.text(b"hosts");
        reply.list(members.len());
        for member in &members {
            let host = &member.host;
            let addresses: Vec<_> = host.addresses.iter().map(ToString::to_string).collect();
            let plugins: Vec<_> =
                host.plugins.iter().map(|(name, version)| format!("{name} {version}")).collect();
            reply.map(9);
            text(reply, "host", &host.name);
            text(reply, "version", &host.version);
            text(reply, "target", &host.target);
            text(reply, "addresses", &addresses.join(" "));
            text(reply, "plugins", &plugins.join(", "));
            number(reply, "commands", member.commands);
            number(reply, "running", host.running);
            reply.text(b"latency-ms");
            match member.latency {
                Some(latency) => reply.float((latency.as_secs_f64() * 1e5).round() / 100.0),
                None => reply.null(),
            }
            reply.text(b"silent-ms");
            reply.integer(i64::try_from(member.silent.as_millis()).unwrap_or(i64::MAX));
        }
    }
}

#[cfg(not(feature = "fleet"))]
impl Membership {
    /// Becomes a member, if the flags name a server.
    ///
    /// # Errors
    /// The flags name one, which this program has no part for.
    pub fn start(
        shared: &Arc<Shared>,
        _: &Arc<LiveRegistry>,
        _: &[SocketAddr],
    ) -> Result<(), MembershipError> {
        if shared.config.fleet.fleet.is_empty() {
            Ok(())
        } else {
            Err(MembershipError::Unavailable)
        }
    }

    /// Returns none.
    pub fn running_calls(&self, _: &[Arc<Command>]) -> Vec<Box<dyn RunningCall>> {
        Vec::new()
    }

    /// Returns 0.
    pub fn end(&self, _: Option<Instant>) -> usize {
        0
    }

    /// Writes an error.
    pub fn answer_rollout(&self, _: RolloutRequest<'_>, reply: &mut Encoder) {
        refuse(reply);
    }

    /// Writes an error.
    pub fn write_members(&self, reply: &mut Encoder) {
        refuse(reply);
    }
}

fn refuse(reply: &mut Encoder) {
    reply.error("ERR", b"this host is not a member of a fleet, see its flag --fleet");
}
