//! Many commands, so that the host's table is large.

include!(concat!(env!("OUT_DIR"), "/plugin.rs"));

fn nop(_: &plugin_api::Request) {}
