//! What makes a shell complete the client's options, types, tasks and places.

use crate::command_line::definition;
use clap::builder::Resettable;
use clap_complete::Shell;

/// The script for this shell. It knows the places that there are now.
pub fn script<'a>(shell: Shell, places: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut definition = definition();
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
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition, "client", &mut script);
    script
}
