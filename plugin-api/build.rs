//! Keeps the package's first name in the types of the contract.

fn main() {
    // abi_stable refuses a type that comes from a package of another name, and plugins that were
    // built before the package was renamed know it as this.
    println!("cargo::rustc-env=CARGO_PKG_NAME=plugin-api");
    println!("cargo::rerun-if-changed=build.rs");
}
