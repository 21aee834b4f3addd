//! Many commands, for a large registry.

include!(concat!(env!("OUT_DIR"), "/plugin.rs"));

fn nop(_: &plugin_api::Request) {}
