//! The subcommand `host config`, which prints the settings in force and the origin of each.

use std::{fmt::Write, path::Path};

use crate::config::{Setting, TableSetting};

/// Formats the settings as a settings file. Unset settings and the origins of values are comments.
/// `state_root` is the state directory in force if `--state-dir` is not set.
pub(crate) fn describe(
    settings: &[Setting],
    tables: &[TableSetting],
    state_root: Option<&Path>,
) -> String {
    let in_force = |setting: &Setting| {
        let mut setting = setting.clone();
        if setting.name == "state-dir" && setting.values.is_none() {
            setting.values = state_root.map(|root| vec![root.to_string_lossy().into_owned()]);
        }
        setting
    };
    let settings: Vec<Setting> = settings.iter().map(in_force).collect();
    let lines: Vec<(String, &Setting)> =
        settings.iter().map(|setting| (format_line(setting), setting)).collect();
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for (line, setting) in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line:width$}  # {}", setting.origin);
    }
    for table in tables.chunk_by(|one, next| one.table == next.table) {
        text.push_str(&describe_table(table));
    }
    text
}

fn describe_table(table: &[TableSetting]) -> String {
    let lines: Vec<String> =
        table.iter().map(|TableSetting { key, value, .. }| format!("{key} = {value}")).collect();
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default();
    let mut text = table.first().map_or_else(String::new, |first| format!("\n[{}]\n", first.table));
    for (line, setting) in lines.iter().zip(table) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line:width$}  # {}", setting.origin);
    }
    text
}

fn format_line(Setting { name, values, is_list, .. }: &Setting) -> String {
    match values.as_deref() {
        None => format!("# {name} is not set"),
        Some(values) if *is_list => {
            let values: Vec<String> = values.iter().map(|value| format_value(value)).collect();
            format!("{name} = [{}]", values.join(", "))
        }
        Some([value]) => format!("{name} = {}", format_value(value)),
        Some(values) => format!("{name} = {}", format_value(&values.join(" "))),
    }
}

/// Formats a value as TOML: a number or a boolean as it is, anything else as a string.
fn format_value(value: &str) -> String {
    let plain = value.parse::<i64>().is_ok_and(|number| number.to_string() == value)
        || value == "true"
        || value == "false";
    if plain { value.to_owned() } else { toml::Value::from(value).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    #[test]
    fn values_are_written_as_toml_and_read_back() {
        let setting = |name: &str, values: Option<&[&str]>, is_list, origin| Setting {
            name: name.into(),
            values: values.map(|values| values.iter().map(|value| (*value).into()).collect()),
            is_list,
            origin,
        };
        let settings = [
            setting("port", Some(&["5000"]), false, Origin::Default),
            setting("plugins", Some(&["a \"b\"\\c"]), false, Origin::Flag),
            setting("bind", Some(&["::1"]), true, Origin::File("x.toml".into(), 3)),
            setting("empty", Some(&[]), true, Origin::Default),
            setting("state-dir", None, false, Origin::Default),
            setting("switch", Some(&["true"]), false, Origin::Environment("X".into())),
        ];
        let text = describe(&settings, &[], None);
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["port"].as_integer(), Some(5000));
        assert_eq!(table["plugins"].as_str(), Some("a \"b\"\\c"));
        assert_eq!(table["bind"].as_array().unwrap()[0].as_str(), Some("::1"));
        assert_eq!(table["empty"].as_array().unwrap().len(), 0);
        assert_eq!(table["switch"].as_bool(), Some(true));
        assert!(!table.contains_key("state-dir"));
        for line in ["  # default", "  # flag", "# file x.toml:3", "# environment X"] {
            assert!(text.contains(line), "{text}");
        }
        assert!(text.contains("# state-dir is not set"), "{text}");
        let text = describe(&settings, &[], Some(Path::new("/home/ada/state")));
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["state-dir"].as_str(), Some("/home/ada/state"));
    }
    #[test]
    fn tables_are_written_as_toml_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.toml");
        let resolve = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let words = ["host", "config", "--config"].map(std::ffi::OsString::from);
            let words = words.into_iter().chain([path.clone().into()]);
            crate::config::resolve(words).unwrap()
        };
        let first = resolve(
            "isolate = ['a', 'b']\n[interpreters]\npy = 'p \"q\"\\r'\njs = [\n'node',\n'--x']\n\
             [plugin.a]\nisolate = 'auto'\ncpu = 2.0\nmemory = '256M'\n\
             [plugin.b-1]\nisolate = true\nprocesses = 0x10\n",
        );
        assert_eq!(first.tables.len(), 7);
        let text = describe(&first.settings, &first.tables, None);
        let again = resolve(&text);
        let values = |resolved: &crate::config::Resolved| -> Vec<_> {
            let entry =
                |one: &TableSetting| (one.table.clone(), one.key.clone(), one.value.clone());
            resolved.tables.iter().map(entry).collect()
        };
        assert_eq!(values(&again), values(&first), "{text}");
        let line = format!("cpu = 2.0         # file {}:9\n", path.display());
        assert!(text.contains("\n[plugin.a]\n") && text.contains(&line), "{text}");
        assert!(text.contains("isolate = [\"a\", \"b\"]"), "{text}");
    }
}
