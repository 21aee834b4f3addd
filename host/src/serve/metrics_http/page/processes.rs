//! The metrics of plugins that run in processes of their own.

use std::fmt;

use plugin_engine::{process::status::ProcessStatus, registry::LiveRegistry};
use prometheus_client::{encoding::DescriptorEncoder, metrics::MetricType, registry::Unit};

use super::{add_count, add_gauges};

/// Encodes the metrics of each served plugin that does not run in the host. Reads them from the
/// registry in force, so that a scrape does not wait for the manager of plugins.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, registry: &LiveRegistry) -> fmt::Result {
    let registry = registry.load();
    let all = &registry.processes().collect::<Vec<_>>();
    let (bytes, name) = (Some(&Unit::Bytes), "dropin_plugin_processes");
    let help = "Processes that serve a plugin";
    add_gauges(encoder, (name, help, None), all, |one| Some(one.pids.len() as u64))?;
    let name = "dropin_plugin_process_crashes";
    let help = "Unexpected ends of a plugin's processes, since it was loaded";
    add_counters(encoder, (name, help), all, |one| one.crashes)?;
    let name = "dropin_plugin_process_restarts";
    let help = "Starts of a plugin's processes after an end, since it was loaded";
    add_counters(encoder, (name, help), all, |one| one.restarts)?;
    let name = "dropin_plugin_quarantined";
    let help = "1 while a process that ended too often waits for its next trial, else 0";
    add_gauges(encoder, (name, help, None), all, |one| Some(u64::from(one.is_quarantined)))?;
    let name = "dropin_plugin_resident_memory";
    let help = "Memory in use by a plugin's processes";
    add_gauges(encoder, (name, help, bytes), all, |one| one.memory)?;
    let name = "dropin_plugin_memory_limit";
    let help = "The most memory of each process of a plugin that has such a limit";
    add_gauges(encoder, (name, help, bytes), all, |one| one.limits.memory)?;
    let name = "dropin_plugin_open_files_limit";
    let help = "The most open files of each process of a plugin that has such a limit";
    add_gauges(encoder, (name, help, None), all, |one| one.limits.open_files)?;
    let name = "dropin_plugin_cpu_limit";
    let help = "The most processors of each process of a plugin that has such a limit";
    add_gauges(encoder, (name, help, None), all, |one| one.limits.cpu)
}

fn add_counters(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    all: &[(&str, ProcessStatus)],
    value: impl Fn(&ProcessStatus) -> u64,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (plugin, status) in all {
        add_count(&mut family, &[("plugin", *plugin)], value(status))?;
    }
    Ok(())
}
