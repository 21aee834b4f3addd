//! Completion scripts for shells.

use clap::builder::Resettable;
use clap_complete::Shell;

use crate::cli::command_line::completion_definition;

/// Returns the script of a shell for the program of this name, with these places.
pub fn script<'a>(shell: Shell, program: &str, places: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut definition = completion_definition();
    let template = definition.find_subcommand("s").cloned().unwrap_or_default();
    let names: Vec<_> = places.map(str::to_owned).collect();
    for name in &names {
        let place = template.clone().name(name.clone()).visible_alias(Resettable::Reset);
        let place = place.about("Talk to the host of that name in the settings file");
        definition = definition.subcommand(place);
    }
    if !names.is_empty() {
        definition = definition.mut_subcommand("remove", |remove| {
            remove.mut_arg("name", |name| name.value_parser(names))
        });
    }
    // In the script for bash, the subcommands of a name with a hyphen are not found. The real name
    // matters only in the line that registers the completion.
    let generated_name =
        if shell == Shell::Bash { program.replace('-', "_") } else { program.to_owned() };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition, generated_name.as_str(), &mut script);
    let registration = format!("-o default {program}\n");
    String::from_utf8_lossy(&script)
        .replace(&format!("-o default {generated_name}\n"), &registration)
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_gets_options_and_places() {
        for shell in Shell::value_variants() {
            let script = script(*shell, "my-client", ["home", "a.b-c_d"].into_iter());
            let script = String::from_utf8(script).unwrap();
            for part in ["my-client", "home", "a.b-c_d", "connect-timeout", "latency"] {
                assert!(script.contains(part), "{shell}: {part}: {script}");
            }
        }
    }
}
