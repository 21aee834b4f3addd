//! Nothing: this package only chooses features of other crates.
