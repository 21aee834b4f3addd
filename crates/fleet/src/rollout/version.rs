//! A pushed version of a plugin: its description, its name, and the hosts that it fits.

use std::path::Path;

use plugin_engine::{
    files::{folder::is_library, kind::may_be_plugin, object_header},
    live::manifest::is_plugin_name,
};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::error::RolloutError;
use crate::alive::target;

/// The largest file that is rolled out, in bytes.
pub const LARGEST: usize = 256 << 20;

/// The longest name of a file, in bytes.
const LONGEST_NAME: usize = 128;

/// The target of a script, which runs everywhere.
const ANY: &str = "any";

/// A pushed version of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its id: the name of its object.
    pub id: String,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's own version; empty until a host has loaded it.
    #[serde(default)]
    pub version: String,
    /// The name of its file in the plugins folder.
    pub file: String,
    /// The platform that it needs, such as `x86_64-linux`; `any` for a script.
    pub target: String,
    /// The version of the plugin API that it was built for; empty until a host has loaded it.
    #[serde(default)]
    pub api: String,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// The size of the file in bytes.
    pub size: usize,
    /// The name of the host that it was pushed to.
    pub by: String,
}

impl Version {
    /// Describes a file. Version and API stay empty.
    ///
    /// # Errors
    /// Name, size or content are not those of a plugin.
    pub fn describe(file: &str, content: &[u8], by: &str) -> Result<Self, RolloutError> {
        check_file_name(file)?;
        let refuse = |problem: &str| RolloutError::File {
            file: file.to_owned(),
            problem: problem.to_owned(),
        };
        if content.is_empty() {
            return Err(refuse("it is empty"));
        }
        if content.len() > LARGEST {
            return Err(RolloutError::TooLarge { file: file.to_owned(), size: content.len() });
        }
        let start = content.get(..object_header::LENGTH).unwrap_or(content);
        let target = object_header::platform_of(start).ok_or_else(|| {
            refuse("it is neither a library, a program nor a script that starts with `#!`")
        })?;
        let plugin = plugin_of(file).ok_or_else(|| refuse("its name names no plugin"))?;
        let version = Self {
            id: String::new(),
            plugin: String::new(),
            version: String::new(),
            file: file.to_owned(),
            target,
            api: String::new(),
            sha256: sha256_of(content),
            size: content.len(),
            by: by.to_owned(),
        };
        Ok(version.named(plugin))
    }

    /// Gives it the name of its plugin, and an id of its own.
    #[must_use]
    pub fn named(mut self, plugin: String) -> Self {
        self.plugin = plugin;
        self.id = format!("{}.{:016x}", self.key(), fastrand::u64(..));
        self
    }

    /// Returns the key of its rollout: each target has one of its own.
    pub fn key(&self) -> String {
        format!("{}.{}", self.plugin, self.target)
    }

    /// Returns true if this host can run it, as far as its description tells.
    pub fn fits(&self) -> bool {
        let major = |version: &str| version.split('.').next().map(str::to_owned);
        let is_number = self.api.starts_with(|first: char| first.is_ascii_digit());
        (self.target == ANY || self.target == target())
            && (!is_number || major(&self.api) == major(plugin_api::abi::API_VERSION))
    }

    /// Returns a name for people: the plugin's own version if it is known, and the start of the
    /// content's hash.
    pub fn label(&self) -> String {
        let hash = self.sha256.get(..12).unwrap_or(&self.sha256);
        match self.version.as_str() {
            "" => hash.to_owned(),
            version => format!("{version} ({hash})"),
        }
    }
}

/// Returns the SHA-256 of a content, in hexadecimal.
pub fn sha256_of(content: &[u8]) -> String {
    digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks that a name is that of a plugin's file directly in the plugins folder. Names come from
/// other hosts and from clients.
///
/// # Errors
/// It is hidden, names another folder, or no plugin has such a name.
pub fn check_file_name(file: &str) -> Result<(), RolloutError> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    let is_fine = (1..=LONGEST_NAME).contains(&file.len())
        && file.chars().all(is_legal)
        && may_be_plugin(Path::new(file))
        && plugin_of(file).is_some();
    if is_fine {
        return Ok(());
    }
    let problem = "its name is not that of a plugin: use a-z A-Z 0-9 . _ - and no ending of a \
                   document or of another system's library";
    Err(RolloutError::File {
        file: file.chars().take(LONGEST_NAME).collect::<String>().escape_debug().to_string(),
        problem: problem.to_owned(),
    })
}

/// Returns the name of the plugin that a file of this name usually has.
pub fn plugin_of(file: &str) -> Option<String> {
    let path = Path::new(file);
    let stem = path.file_stem()?.to_str()?;
    let stem = match is_library(path) {
        true => stem.strip_prefix(std::env::consts::DLL_PREFIX).unwrap_or(stem),
        false => stem,
    };
    let legal = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || c == '-' => c,
        _ => '-',
    };
    let name: String = stem.chars().map(legal).collect();
    is_plugin_name(&name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_fits_every_host() {
        let version = Version::describe("greet.sh", b"#!/bin/sh\n", "here").unwrap();
        assert_eq!((version.plugin.as_str(), version.key().as_str()), ("greet", "greet.any"));
        assert!(version.fits());
        assert_eq!(version.sha256, sha256_of(b"#!/bin/sh\n"));
        assert!(sha256_of(b"").starts_with("e3b0c44298fc1c149afbf4c8996fb924"));
    }

    #[test]
    fn other_targets_and_majors_do_not_fit() {
        let mut version = Version::describe("greet", b"#!/bin/sh\n", "here").unwrap();
        for (target, api, fits) in [
            (target(), plugin_api::abi::API_VERSION, true),
            (target(), "", true),
            (target(), "lines 1", true),
            (target(), "99.0.0", false),
            ("mips-plan9".to_owned(), "", false),
        ] {
            (version.target, version.api) = (target, api.to_owned());
            assert_eq!(version.fits(), fits, "{version:?}");
        }
    }

    #[test]
    fn names_outside_the_folder_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "../libx.so",
            "a/b",
            "/etc/passwd",
            ".hidden.so",
            "notes.txt",
            "a b",
            "x.minisig",
            "host.toml",
            "ä",
            "a\\b",
        ] {
            assert!(check_file_name(name).is_err(), "{name}");
        }
        for name in ["libmy_plugin.so", "greet", "greet.py"] {
            assert!(check_file_name(name).is_ok() || !cfg!(target_os = "linux"), "{name}");
        }
        assert_eq!(plugin_of("greet.py").as_deref(), Some("greet"));
        #[cfg(target_os = "linux")]
        assert_eq!(plugin_of("libmy_plugin.so").as_deref(), Some("my-plugin"));
    }
}
