//! Keeps the record of one plugin by name, across its generations.

use std::{sync::Arc, time::Instant};

use telemetry::metrics::Metrics;

use super::retired::Retired;
use crate::{
    files::shadow_copy::Shadow,
    live::{generation::Generation, manifest::Manifest},
    plugin_control::Info,
    registry::Command,
    state::{configuration::AppliedConfig, store::States},
};

/// The record of one plugin. It remains after the plugin's file is gone.
#[derive(Default)]
pub struct Slot {
    /// The served generation.
    pub serving: Option<Serving>,
    /// The number of the generation that was loaded last.
    pub number: u64,
    /// Its file's name in the plugins folder.
    pub file: String,
    /// The code that was served before, to roll back to.
    pub previous: Option<(Arc<Shadow>, Manifest)>,
    /// The code that was served last, if none is served now.
    pub withdrawn: Option<(Arc<Shadow>, Manifest)>,
    /// True if an operator has disabled it.
    pub disabled: bool,
    /// The number of calls that ended generations have answered.
    pub ended_calls: u64,
    /// The number of those calls that were answered by an error.
    pub ended_errors: u64,
    /// The size of the state that was handed over last, in bytes.
    pub state_bytes: Option<u64>,
    /// The last configuration of the served generation; `None` if it accepts none.
    pub applied_config: Option<AppliedConfig>,
    /// The last failure and its time.
    pub last_failure: Option<(String, Instant)>,
}

/// A served generation, and its commands in the registry.
#[derive(Clone)]
pub struct Serving {
    /// The generation.
    pub generation: Arc<Generation>,
    /// Its commands.
    pub commands: Vec<Arc<Command>>,
}

impl Serving {
    /// Makes a generation's commands.
    #[must_use]
    pub fn new(generation: Arc<Generation>, metrics: &Metrics) -> Self {
        Self { commands: generation.commands(metrics), generation }
    }
}

impl Slot {
    /// Returns the served generation.
    pub fn generation(&self) -> Option<&Arc<Generation>> {
        self.serving.as_ref().map(|serving| &serving.generation)
    }

    /// Returns the code to roll back to: the code before the served one, or the code served last.
    #[must_use]
    pub fn code_before(&self) -> Option<(Arc<Shadow>, Manifest)> {
        let withdrawn = self.withdrawn.clone().filter(|_| self.serving.is_none());
        withdrawn.or_else(|| self.previous.clone())
    }

    /// Describes it for `plugin info`.
    #[must_use]
    pub fn info(&self, name: &str, retired: &Retired, states: &States) -> Info {
        let generation = self.generation();
        let (draining, lingering) = retired.count(name);
        let code = generation
            .map(|one| one.shadow())
            .or_else(|| self.withdrawn.as_ref().map(|(code, _)| code));
        let process = generation.and_then(|one| one.live().status());
        let status = match (generation, self.disabled) {
            (Some(_), _) if process.as_ref().is_some_and(|one| one.is_quarantined) => "quarantined",
            (Some(_), _) if process.as_ref().is_some_and(|one| one.unavailable.is_some()) => {
                "starting"
            }
            (Some(_), _) => "serving",
            (None, true) => "disabled",
            (None, false) => "withdrawn",
        };
        Info {
            name: name.to_owned(),
            status,
            version: generation.map(|one| one.manifest.version.clone()).unwrap_or_default(),
            file: self.file.clone(),
            generation: generation.map_or(self.number, |one| one.number),
            hash: code.map(|code| code.hash().to_hex().to_string()).unwrap_or_default(),
            commands: generation.map(|one| one.manifest.command_names()).unwrap_or_default(),
            state_bytes: self.state_bytes.or_else(|| states.size(name)),
            durability: generation
                .and_then(|one| one.order.durable())
                .map(|durable| durable.status()),
            calls: self.ended_calls + generation.map_or(0, |one| one.calls()),
            errors: self.ended_errors + generation.map_or(0, |one| one.errors()),
            draining,
            lingering,
            configuration: generation
                .and(self.applied_config.as_ref())
                .map(|config| config.describe(name)),
            waiting: None,
            can_roll_back: self.code_before().is_some(),
            last_failure: self
                .last_failure
                .as_ref()
                .map(|(what, when)| (what.clone(), when.elapsed().as_secs())),
            process,
        }
    }
}
