//! The metrics of plugins that keep state.

use std::fmt;

use plugin_engine::{registry::LiveRegistry, state::durable::DurabilityStatus};
use prometheus_client::{encoding::DescriptorEncoder, metrics::MetricType, registry::Unit};

use super::{add_count, add_gauges};

/// Encodes the metrics of each served plugin that keeps state. Reads them from the registry in
/// force, so that a scrape does not wait for the manager of plugins.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, registry: &LiveRegistry) -> fmt::Result {
    let registry = registry.load();
    let all = &registry.durability().collect::<Vec<_>>();
    let (bytes, name) = (Some(&Unit::Bytes), "dropin_plugin_journal");
    let help = "Length of the files of a plugin's journal";
    add_gauges(encoder, (name, help, bytes), all, |one| one.journal_bytes)?;
    let name = "dropin_plugin_journal_records";
    let help = "Records of a plugin's journal that its last snapshot does not contain";
    add_gauges(encoder, (name, help, None), all, |one| one.journal_records)?;
    let name = "dropin_plugin_journal_failing";
    let help = "1 while commands of a plugin that write are refused, as the disk fails, else 0";
    let is_failing = |one: &DurabilityStatus| Some(u64::from(one.problem.is_some()));
    add_gauges(encoder, (name, help, None), all, is_failing)?;
    let (seconds, name) = (Some(&Unit::Seconds), "dropin_plugin_snapshot_age");
    let help = "Time since the last snapshot of a plugin's state by this host";
    let age = |one: &DurabilityStatus| one.snapshot_age.map(|age| age.as_secs());
    add_gauges(encoder, (name, help, seconds), all, age)?;
    let (name, help) = ("dropin_plugin_snapshots", "Snapshots of a plugin's state by this host");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (plugin, status) in all {
        add_count(&mut family, &[("plugin", *plugin)], status.snapshots)?;
    }
    Ok(())
}
