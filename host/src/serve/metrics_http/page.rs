//! The text of the metrics page, in the format OpenMetrics.

mod durability;
mod processes;

use std::{
    fmt,
    sync::{Arc, Weak},
};

use plugin_engine::VERSION;
use plugin_engine::{events::EventKind, registry::LiveRegistry};
use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, EncodeMetric, MetricEncoder,
        NoLabelSet, text::encode,
    },
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry as MetricsRegistry, Unit},
};
use telemetry::metrics::{Histogram, Reading};

use crate::runtime::context::Shared;

/// The generator of the page.
pub(super) struct Page {
    metrics_registry: MetricsRegistry,
}

/// The collector of the host's counters, which reads them at each scrape.
struct Figures {
    shared: Weak<Shared>,
    registry: Weak<LiveRegistry>,
}

impl Page {
    /// Makes a generator for this host.
    pub(super) fn new(shared: &Arc<Shared>, registry: &Arc<LiveRegistry>) -> Self {
        let mut metrics_registry = MetricsRegistry::default();
        let (shared, registry) = (Arc::downgrade(shared), Arc::downgrade(registry));
        metrics_registry.register_collector(Box::new(Figures { shared, registry }));
        Self { metrics_registry }
    }

    /// Returns the page with the current values.
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
        encode_host(&mut encoder, &shared)?;
        encode_commands(&mut encoder, &shared.metrics.read())?;
        encode_plugins(&mut encoder, &shared, &registry)?;
        encode_process(&mut encoder, &shared)
    }
}

fn encode_host(encoder: &mut DescriptorEncoder<'_>, shared: &Shared) -> fmt::Result {
    // Not of the type `info`, which parsers of the older text format do not know.
    let mut build = encoder.encode_descriptor(
        "dropin_build_info",
        "The host's version, as a label; always 1",
        None,
        MetricType::Gauge,
    )?;
    build.encode_family(&[("version", VERSION)])?.encode_gauge(&1_u64)?;
    let metrics = &shared.metrics;
    add_gauge(encoder, "dropin_sessions", "Sessions now", None, shared.sessions.len() as u64)?;
    add_counter(encoder, "dropin_sessions_started", "Sessions so far", shared.sessions.started())?;
    add_counter(
        encoder,
        "dropin_sessions_turned_away",
        "Clients rejected for lack of sessions, threads or file descriptors",
        metrics.rejected.get(),
    )?;
    add_counter(
        encoder,
        "dropin_sessions_evicted",
        "Sessions closed for the memory of their requests and replies",
        metrics.evicted.get(),
    )?;
    add_gauge(
        encoder,
        "dropin_session_buffers",
        "Memory of large requests and replies of all sessions",
        Some(&Unit::Bytes),
        shared.client_memory.used() as u64,
    )?;
    let mut rejected = encoder.encode_descriptor(
        "dropin_requests_rejected",
        "Requests that reached no command: unknown, denied to this client, or malformed",
        None,
        MetricType::Counter,
    )?;
    for (reason, count) in [
        ("unknown", metrics.unknown.get()),
        ("denied", metrics.denied.get()),
        ("malformed", metrics.malformed.get()),
    ] {
        add_count(&mut rejected, &[("reason", reason)], count)?;
    }
    Ok(())
}

fn encode_commands(encoder: &mut DescriptorEncoder<'_>, all: &[Reading]) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "dropin_command_calls",
        "Calls answered, by command; the host's own have no plugin",
        None,
        MetricType::Counter,
    )?;
    for one in all {
        add_count(&mut family, &labels(one), one.calls)?;
    }
    let mut family = encoder.encode_descriptor(
        "dropin_command_errors",
        "Calls answered with an error, by command",
        None,
        MetricType::Counter,
    )?;
    for one in all {
        add_count(&mut family, &labels(one), one.errors)?;
    }
    let mut family = encoder.encode_descriptor(
        "dropin_command_duration",
        "Duration of calls, by command; in a pipelined batch the first and every 32nd are timed",
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

fn encode_plugins(
    encoder: &mut DescriptorEncoder<'_>,
    shared: &Shared,
    registry: &LiveRegistry,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "dropin_plugin_events",
        "Plugin events; swapped is a reload, refused is a refused library or configuration",
        None,
        MetricType::Counter,
    )?;
    for event in EventKind::ALL {
        add_count(&mut family, &[("event", event.name())], shared.events.published(event))?;
    }
    let mut family = encoder.encode_descriptor(
        "dropin_plugin_generation",
        "The generation of a plugin that is served",
        None,
        MetricType::Gauge,
    )?;
    for plugin in registry.load().all_plugins() {
        let labels = [("plugin", plugin.name.as_str()), ("version", plugin.version.as_str())];
        family.encode_family(&labels)?.encode_gauge(&plugin.generation)?;
    }
    durability::encode(encoder, registry)?;
    processes::encode(encoder, registry)?;
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

/// Encodes the process's metrics, under Prometheus's standard names.
fn encode_process(encoder: &mut DescriptorEncoder<'_>, shared: &Shared) -> fmt::Result {
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
            add_gauge(encoder, name, help, unit, value)?;
        }
    }
    Ok(())
}

fn add_gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: u64,
) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
}

fn add_counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> fmt::Result {
    let counter = ConstCounter::new(value);
    counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
}

/// Encodes a gauge of each plugin that has a value.
fn add_gauges<S, V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, unit): (&str, &str, Option<&Unit>),
    all: &[(&str, S)],
    value: impl Fn(&S) -> Option<V>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    for (plugin, status) in all {
        if let Some(value) = value(status) {
            family.encode_family(&[("plugin", *plugin)])?.encode_gauge(&value)?;
        }
    }
    Ok(())
}

fn add_count(
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
