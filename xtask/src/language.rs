//! The languages that there is a template for.

use clap::ValueEnum;

/// A language that there is a template for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// A library.
    Rust,
    /// An executable with the module `dropin`.
    Python,
    /// An executable for Node.js, without a package.
    Node,
    /// A script that is run once for each call.
    Shell,
}

impl Language {
    /// Returns its name, which is that of its template's folder, except for Rust.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Node => "node",
            Self::Shell => "shell",
        }
    }

    /// Returns the name of the template's executable; `None` if it has a crate.
    pub fn worker(self) -> Option<&'static str> {
        match self {
            Self::Rust => None,
            Self::Python => Some("worker.py"),
            Self::Node => Some("worker.js"),
            Self::Shell => Some("worker.sh"),
        }
    }

    /// Returns the path of the module in this repository that the executable needs.
    pub fn module(self) -> Option<&'static str> {
        (self == Self::Python).then_some("sdk/python/dropin.py")
    }
}
