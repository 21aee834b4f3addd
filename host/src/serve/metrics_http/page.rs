//! The page: what the host has counted, in OpenMetrics.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use plugin_engine::VERSION;
use plugin_engine::{events::EventKind, registry::LiveRegistry};
use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet, text::encode,
    },
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry as MetricsRegistry, Unit},
};
use telemetry::metrics::{Histogram, Reading};

use crate::runtime::context::Shared;

/// What makes the page.
pub(super) struct Page {
    metrics_registry: MetricsRegistry,
}

/// What the host has counted, read when it is asked for.
struct Figures {
    shared: Weak<Shared>,
    registry: Weak<LiveRegistry>,
}

impl Page {
    /// A page about this host.
    pub(super) fn new(shared: &Arc<Shared>, registry: &Arc<LiveRegistry>) -> Self {
        let mut metrics_registry = MetricsRegistry::default();
        let (shared, registry) = (Arc::downgrade(shared), Arc::downgrade(registry));
        metrics_registry.register_collector(Box::new(Figures { shared, registry }));
        Self { metrics_registry }
    }

    /// The page as it is now.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.metrics_registry);
        text
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (Some(shared), Some(registry)) = (self.shared.upgrade(), self.registry.upgrade())
        else {
            return Ok(());
        };
        host(&mut encoder, &shared)?;
        commands(&mut encoder, &shared.metrics.read())?;
        plugins(&mut encoder, &shared, &registry)?;
        process(&mut encoder, &shared)
    }
}

fn host(encoder: &mut DescriptorEncoder<'_>, shared: &Shared) -> fmt::Result {
    // Not of the type `info`, which parsers of the older text format do not know.
    let mut build = encoder.encode_descriptor(
        "dropin_build_info",
        "Which Dropin this is",
        None,
        MetricType::Gauge,
    )?;
    build.encode_family(&[("version", VERSION)])?.encode_gauge(&1_u64)?;
    let metrics = &shared.metrics;
    gauge(encoder, "dropin_sessions", "Sessions now", None, shared.sessions.len() as u64)?;
    counter(encoder, "dropin_sessions_started", "Sessions so far", shared.sessions.started())?;
    counter(
        encoder,
        "dropin_sessions_turned_away",
        "Clients that there was no room for",
        metrics.turned_away.get(),
    )?;
    counter(
        encoder,
        "dropin_sessions_evicted",
        "Sessions closed for the memory of their requests and replies",
        metrics.evicted.get(),
    )?;
    gauge(
        encoder,
        "dropin_session_buffers",
        "Memory of large requests and replies of all sessions",
        Some(&Unit::Bytes),
        shared.client_memory.used() as u64,
    )?;
    let mut rejected = encoder.encode_descriptor(
        "dropin_requests_rejected",
        "Requests that were answered by no command: unknown, denied to this client, or malformed",
        None,
        MetricType::Counter,
    )?;
    for (reason, count) in [
        ("unknown", metrics.unknown.get()),
        ("denied", metrics.denied.get()),
        ("malformed", metrics.malformed.get()),
    ] {
        count_of(&mut rejected, &[("reason", reason)], count)?;
    }
    Ok(())
}

fn commands(encoder: &mut DescriptorEncoder<'_>, all: &[Reading]) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "dropin_command_calls",
        "Calls answered, by command; the host's own have no plugin",
        None,
        MetricType::Counter,
    )?;
    for one in all {
        count_of(&mut family, &labels(one), one.calls)?;
    }
    let mut family = encoder.encode_descriptor(
        "dropin_command_errors",
        "Calls answered with an error, by command",
        None,
        MetricType::Counter,
    )?;
    for one in all {
        count_of(&mut family, &labels(one), one.errors)?;
    }
    let mut family = encoder.encode_descriptor(
        "dropin_command_duration",
        "How long calls took, by command; in a pipelined batch the first and then every 32nd is timed",
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    for one in all.iter().filter(|one| one.times.count() > 0) {
        let times: &Histogram = &one.times;
        family.encode_family(&labels(one))?.encode_histogram::<NoLabelSet>(
            times.sum().as_secs_f64(),
            times.count(),
            &times.buckets(),
            None,
        )?;
    }
    Ok(())
}

fn plugins(
    encoder: &mut DescriptorEncoder<'_>,
    shared: &Shared,
    registry: &LiveRegistry,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "dropin_plugin_events",
        "What happened to plugins; swapped is a reload, refused a library or configuration that was not taken",
        None,
        MetricType::Counter,
    )?;
    for event in EventKind::ALL {
        count_of(&mut family, &[("event", event.name())], shared.events.published(event))?;
    }
    let mut family = encoder.encode_descriptor(
        "dropin_plugin_generation",
        "Which generation of a plugin is served",
        None,
        MetricType::Gauge,
    )?;
    for plugin in registry.load().all_plugins() {
        let labels = [("plugin", plugin.name.as_str()), ("version", plugin.version.as_str())];
        family.encode_family(&labels)?.encode_gauge(&plugin.generation)?;
    }
    let mut family = encoder.encode_descriptor(
        "dropin_generations_retired",
        "Generations no longer served: still running calls or about to be unloaded, or ended with \
         their code still mapped",
        None,
        MetricType::Gauge,
    )?;
    for (state, count) in
        [("draining", shared.metrics.draining.get()), ("lingering", shared.metrics.lingering.get())]
    {
        family.encode_family(&[("state", state)])?.encode_gauge(&count)?;
    }
    Ok(())
}

/// Under the names that Prometheus has for every process.
fn process(encoder: &mut DescriptorEncoder<'_>, shared: &Shared) -> fmt::Result {
    let started = ConstGauge::new(shared.metrics.started().as_secs_f64());
    started.encode(encoder.encode_descriptor(
        "process_start_time",
        "When the host started, since 1970",
        Some(&Unit::Seconds),
        started.metric_type(),
    )?)?;
    let system = platform::usage();
    for (name, help, unit, value) in [
        ("process_resident_memory", "Memory in use", Some(&Unit::Bytes), system.resident),
        ("process_threads", "Threads", None, system.threads),
        ("process_open_fds", "Open files and sockets", None, system.files),
    ] {
        if let Some(value) = value {
            gauge(encoder, name, help, unit, value)?;
        }
    }
    Ok(())
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: u64,
) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let counter = ConstCounter::new(value);
    counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
}

fn count_of(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    value: u64,
) -> fmt::Result {
    family.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn labels(one: &Reading) -> Vec<(&'static str, &str)> {
    let plugin = one.plugin.as_deref().map(|plugin| ("plugin", plugin));
    std::iter::once(("command", one.command.as_str())).chain(plugin).collect()
}

impl fmt::Debug for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Figures")
    }
}
