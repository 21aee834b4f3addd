//! All that was measured, kept beside the report: the report can be written again from it, and a part
//! measured again by itself.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    error::{BenchError, failed},
    idle::Idle,
    machine::Machine,
    plan::Section,
    reload::Reload,
    rounds::{Effort, Measured},
};

/// All that was measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// When and where each part was measured.
    pub taken: BTreeMap<Section, Taken>,
    /// What was measured under load.
    pub measured: Vec<Measured>,
    /// What sessions cost that do nothing.
    pub idle: Vec<Idle>,
    /// Nanoseconds of each piece of a request.
    pub pieces: BTreeMap<String, f64>,
    /// Instructions of each piece of a request.
    pub instructions: BTreeMap<String, f64>,
    /// Reloads.
    pub reload: Option<Reload>,
}

/// When and where a part was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// Of what.
    pub machine: Machine,
    /// How much.
    pub effort: Effort,
}

impl Results {
    /// What an earlier run has left; nothing where there was none.
    pub fn read(file: &Path) -> Result<Self, BenchError> {
        match fs::read(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed("read", file)(error)),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                let file = file.display();
                let text = format!("cannot understand {file}: {error}; remove it");
                BenchError::Caused(text, error.into())
            }),
        }
    }

    /// Writes it.
    pub fn write(&self, file: &Path) -> Result<(), BenchError> {
        let text = serde_json::to_vec(self).map_err(|error| {
            BenchError::Caused(format!("cannot write figures: {error}"), error.into())
        })?;
        fs::write(file, text).map_err(failed("write", file))
    }

    /// The cells of a part.
    pub fn of(&self, section: Section) -> impl Iterator<Item = &Measured> {
        self.measured.iter().filter(move |measured| measured.cell.section == section)
    }

    /// Forgets a part, which is about to be measured again.
    pub fn forget(&mut self, section: Section) {
        self.taken.remove(&section);
        self.measured.retain(|measured| measured.cell.section != section);
        match section {
            Section::Idle => self.idle.clear(),
            Section::Boundary => {
                self.pieces.clear();
                self.instructions.clear();
            }
            Section::Reload => self.reload = None,
            _ => {}
        }
    }
}
