//! The settings of plugins, which are read anew whenever one is needed.

use plugin_engine::{
    process::settings::{PluginSettings, SettingsSource},
    state::durability::Durability,
};

use super::{
    file::{FileError, SettingsFile},
    file_place::FilePlace,
};

/// The name that stands for every plugin in the setting `isolate`.
const ALL: &str = "all";

/// The settings of plugins. The settings file is read at each call, so that its changes take effect
/// while the host serves; the command line and the environment stay as they were at the start.
#[derive(Clone, Debug, Default)]
pub struct PluginTables {
    place: FilePlace,
    /// The values of `--isolate`, if the command line or the environment sets it.
    isolate: Option<Vec<String>>,
    /// The durability of plugins whose tables do not set it, as resolved at the start.
    durability: Durability,
}

impl PluginTables {
    /// Makes the settings from the place of the file and the values of `--isolate`. `None` stands
    /// for those of the file's key.
    pub(super) fn new(place: FilePlace, isolate: Option<Vec<String>>) -> Self {
        Self { place, isolate, durability: Durability::default() }
    }

    /// Returns the settings with this durability of plugins whose tables do not set it.
    pub(super) fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Checks that this system can enforce the limits of every plugin's table.
    ///
    /// # Errors
    /// The file cannot be read, or a limit cannot be enforced; the text has the reason and the
    /// remedy.
    pub fn check(&self) -> Result<(), String> {
        let file = self.read().map_err(|error| error.to_string())?;
        for name in file.tables().plugin_names() {
            let limits = file.tables().plugin(name).settings(false, self.durability).limits;
            limits.check().map_err(|error| format!("[plugin.{name}] {error}"))?;
        }
        Ok(())
    }

    fn read(&self) -> Result<SettingsFile, FileError> {
        self.place.read(&super::command())
    }

    /// Returns true if the setting `isolate` names this plugin.
    fn is_listed(&self, name: &str, file: &SettingsFile) -> bool {
        let names = |names: &[String]| names.iter().any(|listed| listed == name || listed == ALL);
        match &self.isolate {
            Some(listed) => names(listed),
            None => names(&file.values("isolate")),
        }
    }
}

impl SettingsSource for PluginTables {
    fn plugin(&self, name: &str) -> Result<PluginSettings, String> {
        let file = self.read().map_err(|error| error.to_string())?;
        let is_listed = self.is_listed(name, &file);
        Ok(file.tables().plugin(name).settings(is_listed, self.durability))
    }

    fn names(&self) -> Vec<(String, String)> {
        let Ok(file) = self.read() else { return Vec::new() };
        let tables = file.tables().plugin_names();
        let tables = tables.map(|name| (name.clone(), format!("[plugin.{name}]")));
        let listed = self.isolate.clone().unwrap_or_else(|| file.values("isolate"));
        let listed = listed.into_iter().filter(|name| name != ALL);
        tables.chain(listed.map(|name| (name.clone(), format!("isolate {name}")))).collect()
    }

    fn interpreter(&self, extension: &str) -> Option<Vec<String>> {
        let file = self.read().ok()?;
        file.tables().interpreter(extension).map(<[String]>::to_vec)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
        time::Duration,
    };

    use plugin_engine::{
        process::settings::Isolate,
        state::durability::{JournalSync, Mode},
    };

    use super::*;

    fn of_file(path: &Path) -> PluginTables {
        PluginTables::new(FilePlace::Named(path.to_owned()), None)
    }

    fn in_folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.toml");
        (folder, path)
    }

    fn isolate(tables: &PluginTables, name: &str) -> Isolate {
        tables.plugin(name).unwrap().isolate
    }

    #[test]
    fn changed_file_is_in_force_at_next_call() {
        let (_folder, path) = in_folder();
        let tables = of_file(&path);
        fs::write(&path, "[plugin.store]\nprocesses = 2\n[interpreters]\npy = 'python'\n").unwrap();
        assert_eq!(tables.plugin("store").unwrap().processes, 2);
        assert_eq!(tables.plugin("other"), Ok(PluginSettings::default()));
        assert_eq!(tables.interpreter("py"), Some(vec!["python".to_owned()]));
        assert_eq!(tables.interpreter("js"), None);
        let text = "isolate = 'store'\n[plugin.store]\nprocesses = 3\n[interpreters]\n\
                    js = ['node', '--no-warnings']\n";
        fs::write(&path, text).unwrap();
        assert_eq!(tables.plugin("store").unwrap().processes, 3);
        assert_eq!(isolate(&tables, "store"), Isolate::Always);
        assert_eq!(tables.interpreter("py"), None);
        let words = ["node", "--no-warnings"].map(String::from);
        assert_eq!(tables.interpreter("JS"), Some(words.to_vec()));
        fs::write(&path, "").unwrap();
        assert_eq!(tables.plugin("store"), Ok(PluginSettings::default()));
    }

    #[test]
    fn wrong_change_is_reported_with_file_and_line() {
        let (_folder, path) = in_folder();
        let tables = of_file(&path);
        for (text, line, problem) in [
            ("[plugin.store]\n\nprocesses = 0\n", 3, "invalid value '0' for 'processes'"),
            ("[plugin.other]\nmemroy = '1M'\n", 2, "unknown key 'memroy'"),
            ("port = 80\n", 1, "invalid value '80' for '--port <PORT>'"),
        ] {
            fs::write(&path, text).unwrap();
            let said = tables.plugin("store").unwrap_err();
            assert!(said.starts_with(&format!("{}:{line}: {problem}", path.display())), "{said}");
            assert_eq!(tables.interpreter("py"), None);
        }
        fs::remove_file(&path).unwrap();
        let said = tables.plugin("store").unwrap_err();
        assert!(said.starts_with("cannot read the settings file "), "{said}");
    }

    #[test]
    #[cfg(unix)]
    fn file_that_others_may_change_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, path) = in_folder();
        fs::write(&path, "").unwrap();
        let tables = of_file(&path);
        assert!(tables.plugin("store").is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let said = tables.plugin("store").unwrap_err();
        assert!(said.contains("can be written to by others; run: chmod go-w "), "{said}");
    }

    #[test]
    fn missing_file_of_user_leaves_only_flags() {
        let (_folder, path) = in_folder();
        for place in [FilePlace::None, FilePlace::OfUser(path)] {
            let tables = PluginTables::new(place, Some(vec!["store".into()]));
            assert_eq!(isolate(&tables, "store"), Isolate::Always);
            assert_eq!(isolate(&tables, "other"), Isolate::Auto);
            assert_eq!(tables.interpreter("py"), None);
        }
    }

    #[test]
    fn changed_table_overrides_durability_of_flags() {
        let (_folder, path) = in_folder();
        fs::write(&path, "").unwrap();
        let general = Durability {
            mode: Some(Mode::Snapshot),
            snapshot_interval: Duration::from_secs(7),
            journal_sync: JournalSync::Never,
        };
        let tables = of_file(&path).with_durability(general);
        let durability = |name| tables.plugin(name).unwrap().durability;
        assert_eq!(durability("store"), general);
        fs::write(&path, "durability = 'off'\n[plugin.store]\ndurability = 'journal'\n").unwrap();
        assert_eq!(durability("store"), Durability { mode: Some(Mode::Journal), ..general });
        assert_eq!(durability("other"), general, "the top of the file is read at the start");
    }

    #[test]
    fn flag_overrides_key_and_table_overrides_both() {
        let (_folder, path) = in_folder();
        let text = "isolate = ['of-key', 'never']\n[plugin.never]\nisolate = false\n\
                    [plugin.limited]\nprocesses = 2\n";
        fs::write(&path, text).unwrap();
        let by_key = of_file(&path);
        let with = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            PluginTables::new(FilePlace::Named(path.clone()), Some(names))
        };
        let (by_flag, all) = (with(&["of-flag"]), with(&["all"]));
        for (name, key, flag, every) in [
            ("of-key", Isolate::Always, Isolate::Auto, Isolate::Always),
            ("of-flag", Isolate::Auto, Isolate::Always, Isolate::Always),
            ("limited", Isolate::Auto, Isolate::Auto, Isolate::Always),
            ("never", Isolate::Never, Isolate::Never, Isolate::Never),
        ] {
            assert_eq!(isolate(&by_key, name), key, "{name}");
            assert_eq!(isolate(&by_flag, name), flag, "{name}");
            assert_eq!(isolate(&all, name), every, "{name}");
        }
    }
}
