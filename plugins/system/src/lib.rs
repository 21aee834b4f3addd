//! The host's machine: processor, memory, disks, temperatures and load.

mod processor;

use std::sync::{Mutex, MutexGuard, PoisonError};

use plugin_api::{Error, Host, Request, Result, State, Value, plugin};
use sysinfo::{Components, Disks, LoadAvg, System};

use crate::processor::Processor;

plugin! {
    state: Machine,
    commands: {
        "cpu" "" => cpu, "Percent of the processor in use, its cores and its model.";
        "memory" "" => memory, "Bytes of memory in total, used, available, and of swap used.";
        "disk" "" => disk, "Bytes in total and available on each mounted disk.";
        "temperature" "" => temperature, "Degrees Celsius at each sensor of the machine.";
        "load" "" => load, "The load average over 1, 5 and 15 minutes.";
    }
}

/// State between calls: the usage of the processor is the difference of two samples.
struct Machine {
    processor: Mutex<Processor>,
}

impl State for Machine {
    fn create(_: &Host) -> Result<Self> {
        Ok(Self { processor: Mutex::new(Processor::new()?) })
    }
}

impl Machine {
    fn processor(&self) -> MutexGuard<'_, Processor> {
        self.processor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cpu(machine: &Machine, request: &Request) -> Result<Value> {
    // Waits without the lock, so that several sessions can wait at the same time.
    let pause = machine.processor().pause();
    if !pause.is_zero() && request.wait(pause) {
        return Err(Error::cancelled("the measurement was cut short"));
    }
    let mut processor = machine.processor();
    Ok(Value::map([
        ("usage", rounded(processor.usage()).into()),
        ("cores", processor.cores().into()),
        ("model", processor.model().into()),
    ]))
}

fn memory(_: &Machine, _: &Request) -> Result<Value> {
    let mut system = System::new()?;
    system.refresh_memory();
    Ok(Value::map([
        ("total", system.total_memory().into()),
        ("used", system.used_memory().into()),
        ("available", system.available_memory().into()),
        ("swap", system.used_swap().into()),
    ]))
}

fn disk(_: &Machine, _: &Request) -> Result<Value> {
    let disks = Disks::new_with_refreshed_list()?;
    Ok(Value::list(disks.iter().map(|disk| {
        Value::map([
            ("mount", disk.mount_point().to_string_lossy().as_ref().into()),
            ("total", disk.total_space().into()),
            ("available", disk.available_space().into()),
        ])
    })))
}

fn temperature(_: &Machine, _: &Request) -> Result<Value> {
    let sensors = Components::new_with_refreshed_list()?;
    Ok(Value::list(sensors.iter().filter_map(|sensor| {
        let celsius = sensor.temperature().filter(|celsius| celsius.is_finite())?;
        Some(Value::map([("sensor", sensor.label().into()), ("celsius", rounded(celsius).into())]))
    })))
}

fn load(_: &Machine, _: &Request) -> Result<Value> {
    if cfg!(windows) {
        return Err(Error::with_kind("UNSUPPORTED", "Windows keeps no load average"));
    }
    let LoadAvg { one, five, fifteen } = System::load_average()?;
    Ok(Value::map([("1", one.into()), ("5", five.into()), ("15", fifteen.into())]))
}

/// Rounds to one decimal, the precision of a sensor.
fn rounded(value: f32) -> f64 {
    (f64::from(value) * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use plugin_api::testing::{Plugin, call_once};

    use super::*;

    /// Returns the command's reply.
    fn reply(command: &str) -> Value {
        call_once(&PLUGIN, command, &[]).unwrap()
    }

    /// Returns the map as names and values.
    fn pairs(map: Value) -> Vec<(String, Value)> {
        let Value::Map(pairs) = map else { panic!("not a map: {map:?}") };
        let name = |name| match name {
            Value::Text(name) => String::from_utf8(name).unwrap(),
            other => panic!("not a name: {other:?}"),
        };
        pairs.into_iter().map(|(key, value)| (name(key), value)).collect()
    }

    fn items(list: Value) -> Vec<Value> {
        let Value::List(items) = list else { panic!("not a list: {list:?}") };
        items
    }

    #[test]
    fn cpu_tells_usage_cores_and_model() {
        let pairs = pairs(reply("cpu"));
        let [(usage, Value::Float(percent)), (cores, Value::Integer(count)), (model, _)] =
            &pairs[..]
        else {
            panic!("{pairs:?}")
        };
        assert_eq!([usage, cores, model], ["usage", "cores", "model"]);
        assert!((0.0..=100.0).contains(percent), "{percent}");
        assert!(*count >= 1, "{count}");
    }

    #[test]
    fn cpu_ends_when_the_client_has_gone() {
        let plugin = Plugin::start(&PLUGIN).unwrap();
        plugin.cancel();
        assert_eq!(plugin.call("cpu", &[]).unwrap_err().kind(), "CANCELLED");
    }

    #[test]
    fn memory_adds_up() {
        let pairs = pairs(reply("memory"));
        let [
            (total, Value::Integer(all)),
            (used, Value::Integer(taken)),
            (available, Value::Integer(free)),
            (swap, Value::Integer(swapped)),
        ] = &pairs[..]
        else {
            panic!("{pairs:?}")
        };
        assert_eq!([total, used, available, swap], ["total", "used", "available", "swap"]);
        assert!(0 < *taken && taken <= all, "{taken} of {all}");
        assert!(0 < *free && free <= all, "{free} of {all}");
        assert!(*swapped >= 0);
    }

    #[test]
    fn available_space_never_exceeds_disk_size() {
        for disk in items(reply("disk")) {
            let pairs = pairs(disk);
            let [
                (mount, Value::Text(_)),
                (total, Value::Integer(all)),
                (available, Value::Integer(free)),
            ] = &pairs[..]
            else {
                panic!("{pairs:?}")
            };
            assert_eq!([mount, total, available], ["mount", "total", "available"]);
            assert!(free <= all, "{free} of {all}");
        }
    }

    #[test]
    fn temperature_lists_the_sensors_that_tell_one() {
        for sensor in items(reply("temperature")) {
            let pairs = pairs(sensor);
            let [(sensor, Value::Text(_)), (celsius, Value::Float(degrees))] = &pairs[..] else {
                panic!("{pairs:?}")
            };
            assert_eq!([sensor, celsius], ["sensor", "celsius"]);
            assert!(degrees.is_finite());
        }
    }

    #[test]
    fn a_figure_has_one_decimal() {
        assert_eq!(rounded(12.345_678), 12.3);
        assert_eq!(rounded(-0.06), -0.1);
    }

    #[cfg(not(windows))]
    #[test]
    fn load_covers_three_spans_of_time() {
        let pairs = pairs(reply("load"));
        let spans: Vec<_> = pairs.iter().map(|(span, _)| span).collect();
        assert_eq!(spans, ["1", "5", "15"]);
        assert!(pairs.iter().all(|(_, load)| matches!(load, Value::Float(0.0..))), "{pairs:?}");
    }

    #[cfg(windows)]
    #[test]
    fn load_is_not_for_windows() {
        let error = call_once(&PLUGIN, "load", &[]).unwrap_err();
        assert_eq!(error.kind(), "UNSUPPORTED");
    }

    #[test]
    fn no_command_takes_an_argument() {
        let plugin = Plugin::start(&PLUGIN).unwrap();
        for command in ["cpu", "memory", "disk", "temperature", "load"] {
            assert!(plugin.call(command, &["x"]).is_err(), "{command}");
        }
    }
}
