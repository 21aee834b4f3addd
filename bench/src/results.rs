//! All results, saved beside the report: the report can be rewritten from them, and a part can be
//! measured again by itself.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    durability::Durability,
    error::{BenchError, failed},
    fleet::FleetResults,
    idle::Idle,
    isolation::Isolation,
    machine::Machine,
    plan::{Contestant, Section},
    reload::Reload,
    rounds::{Effort, Measured},
};

/// All results.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// Date and machine of each part.
    pub taken: BTreeMap<Section, Taken>,
    /// The results under load.
    pub measured: Vec<Measured>,
    /// The cost of idle sessions.
    pub idle: Vec<Idle>,
    /// Nanoseconds of each piece of a request.
    pub pieces: BTreeMap<String, f64>,
    /// Instructions of each piece of a request.
    pub instructions: BTreeMap<String, f64>,
    /// The reloads, with a thread for each client.
    pub reload: Option<Reload>,
    /// The same, with threads that serve many clients.
    #[serde(default)]
    pub reload_shared: Option<Reload>,
    /// Plugins in other processes.
    #[serde(default)]
    pub isolation: Option<Isolation>,
    /// Journals and snapshots.
    #[serde(default)]
    pub durability: Option<Durability>,
    /// Commands of other hosts.
    #[serde(default)]
    pub fleet: Option<FleetResults>,
}

/// Date and machine of a part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// The machine.
    pub machine: Machine,
    /// The extent of the measurement.
    pub effort: Effort,
}

impl Results {
    /// Returns the results of an earlier run; empty if there was none.
    pub fn read(file: &Path) -> Result<Self, BenchError> {
        match fs::read(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed("read", file)(error)),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                let file = file.display();
                let text = format!("cannot parse {file}: {error}; remove it");
                BenchError::Caused(text, error.into())
            }),
        }
    }

    /// Writes the results.
    pub fn write(&self, file: &Path) -> Result<(), BenchError> {
        let text = serde_json::to_vec(self).map_err(|error| {
            BenchError::Caused(format!("cannot write figures: {error}"), error.into())
        })?;
        fs::write(file, text).map_err(failed("write", file))
    }

    /// Returns the cells of a part.
    pub fn of(&self, section: Section) -> impl Iterator<Item = &Measured> {
        self.measured.iter().filter(move |measured| measured.cell.section == section)
    }

    /// Returns the cost of the most idle sessions of a server.
    pub fn idle_of(&self, contestant: Contestant) -> Option<&Idle> {
        self.idle.iter().rfind(|idle| idle.contestant == contestant)
    }

    /// Removes a part, which is about to be measured again.
    pub fn forget(&mut self, section: Section) {
        self.taken.remove(&section);
        self.measured.retain(|measured| measured.cell.section != section);
        match section {
            Section::Idle => self.idle.clear(),
            Section::Boundary => {
                self.pieces.clear();
                self.instructions.clear();
            }
            Section::Reload => (self.reload, self.reload_shared) = (None, None),
            Section::Isolation => self.isolation = None,
            Section::Durability => self.durability = None,
            Section::Fleet => self.fleet = None,
            _ => {}
        }
    }
}
