//! A probe's report, which hostile code may have written.
#![no_main]

use dropin_fuzz::live::probe_report;
use libfuzzer_sys::fuzz_target;
use plugin_api::{Usage, is_command_name};

fuzz_target!(|bytes: &[u8]| {
    match probe_report::parse(bytes) {
        Ok(manifest) => {
            assert_eq!(manifest.check(), Ok(()));
            // The host's later uses of it: directories, the log, the registry.
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            assert!(manifest.name.bytes().all(legal) && (1..=64).contains(&manifest.name.len()));
            for text in [&manifest.version, &manifest.api_version] {
                assert!(!text.contains(char::is_control), "{text:?}");
            }
            for command in &manifest.commands {
                assert!(is_command_name(&command.name));
                let usage = Usage::parse(&command.usage).expect("it has been checked");
                assert!(usage.most().is_none_or(|most| usage.least() <= most));
            }
            assert!(manifest.command_names().is_sorted());
            let again = serde_json::to_vec(&Ok::<_, ()>(&manifest)).unwrap();
            assert_eq!(probe_report::parse(&again).as_ref(), Ok(&manifest));
        }
        Err(refusal) => {
            let text = refusal.to_string();
            assert!(!text.contains(char::is_control) && text.len() < 5000, "{text:?}");
            assert!(!refusal.is_passing(), "it would be tried for ever: {refusal:?}");
        }
    }
});
