//! Starts an executable file of the plugins folder.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use sandbox::{Limits, Sandbox};

use crate::context::EngineContext;

/// An executable file of the plugins folder.
#[derive(Clone, Debug)]
pub struct Executable {
    /// Its private copy.
    pub file: PathBuf,
    /// The words of its interpreter; empty if the system finds that itself.
    pub interpreter: Vec<String>,
    /// The stem of its own name.
    pub stem: String,
    /// The plugins folder.
    pub plugins: PathBuf,
    /// Its private directory, which is made before it starts.
    pub data_dir: PathBuf,
    /// The folders in which it finds modules; none where signatures are required.
    pub module_folders: Vec<PathBuf>,
    /// The limits, in force before it starts.
    pub limits: Limits,
}

impl Executable {
    /// Makes the executable of a private copy of this file.
    #[must_use]
    pub fn new(context: &EngineContext, copy: &Path, file: &Path, limits: Limits) -> Self {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let extension = file.extension().unwrap_or_default().to_string_lossy();
        let plugins = &context.settings.plugins;
        let plugins = plugins.canonicalize().unwrap_or_else(|_| plugins.clone());
        let more = context.settings.module_folder.clone();
        let module_folders = match context.settings.signed_only {
            true => Vec::new(),
            false => [plugins.clone()].into_iter().chain(more).collect(),
        };
        Self {
            file: copy.to_owned(),
            interpreter: context.plugin_settings.interpreter(&extension).unwrap_or_default(),
            plugins,
            data_dir: absolute(context.data_dir().join(&stem)),
            module_folders,
            stem,
            limits,
        }
    }

    /// Returns the command that starts it with these arguments. On Unix the host's own program
    /// puts the limits in force and then becomes the executable.
    ///
    /// # Errors
    /// Its private directory cannot be made, or the host's program is not found.
    pub fn command(&self, arguments: &[OsString]) -> io::Result<Command> {
        fs::create_dir_all(&self.data_dir)?;
        let mut words: Vec<OsString> = self.interpreter.iter().map(OsString::from).collect();
        words.push(self.file.clone().into());
        words.extend_from_slice(arguments);
        let mut command = if cfg!(unix) {
            let mut command = Command::new(platform::own_program()?);
            command.arg("exec").arg(std::process::id().to_string());
            command.arg(serde_json::to_string(&self.limits)?).arg(&self.data_dir).args(words);
            command
        } else {
            let mut words = words.into_iter();
            let mut command = Command::new(words.next().unwrap_or_default());
            command.args(words);
            command
        };
        command
            .current_dir(&self.data_dir)
            .env("DROPIN_PLUGIN", &self.stem)
            .env("DROPIN_PLUGINS_DIR", &self.plugins)
            .env("DROPIN_DATA_DIR", &self.data_dir);
        if self.limits.sandbox != Sandbox::Off {
            command.env("TMPDIR", &self.data_dir);
        }
        if !self.module_folders.is_empty() {
            for name in ["PYTHONPATH", "NODE_PATH"] {
                command.env(name, prepended(&self.module_folders, env::var_os(name)));
            }
        }
        Ok(command)
    }
}

fn absolute(path: PathBuf) -> PathBuf {
    // The executable's working directory is another.
    std::path::absolute(&path).unwrap_or(path)
}

fn prepended(folders: &[PathBuf], rest: Option<OsString>) -> OsString {
    let rest = rest.unwrap_or_default();
    let folders = folders
        .iter()
        .cloned()
        .chain(env::split_paths(&rest).filter(|folder| !folder.as_os_str().is_empty()));
    // A folder with a separator in its name cannot be in such a list.
    env::join_paths(folders).unwrap_or(rest.clone())
}

/// Puts limits in force for this process, which then becomes the program; returns only on failure.
#[cfg(unix)]
#[must_use]
pub fn become_program(parent: u32, limits: &str, data_dir: &Path, words: &[OsString]) -> io::Error {
    use std::{
        os::unix::process::{CommandExt, parent_id},
        thread,
        time::{Duration, Instant},
    };
    /// The time for which the file may be busy: another thread of the host may just be starting a
    /// process, which holds a copy of the descriptor that the file was written through.
    const BUSY: Duration = Duration::from_secs(2);

    platform::die_with_parent();
    if parent_id() != parent {
        return io::Error::other("the host has gone");
    }
    let limits = match serde_json::from_str::<Limits>(limits) {
        Ok(limits) => limits,
        Err(error) => return io::Error::other(error),
    };
    if let Err(error) = limits.apply(&[data_dir.to_owned()]) {
        return io::Error::other(error);
    }
    let Some((program, arguments)) = words.split_first() else {
        return io::ErrorKind::InvalidInput.into();
    };
    let expires_at = Instant::now() + BUSY;
    loop {
        let error = Command::new(program).args(arguments).exec();
        if error.kind() != io::ErrorKind::ExecutableFileBusy || Instant::now() >= expires_at {
            return error;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn executable(folder: &Path) -> Executable {
        Executable {
            file: folder.join("copy"),
            interpreter: Vec::new(),
            stem: "greet".into(),
            plugins: folder.join("plugins"),
            data_dir: folder.join("data").join("greet"),
            module_folders: vec![folder.join("plugins")],
            limits: Limits::default(),
        }
    }

    /// Returns a variable that the command sets itself.
    fn variable<'a>(command: &'a Command, name: &str) -> Option<&'a OsStr> {
        command.get_envs().find(|(found, _)| *found == name).and_then(|(_, value)| value)
    }

    fn list(folders: &[&str]) -> OsString {
        env::join_paths(folders).unwrap()
    }

    #[test]
    fn command_has_the_plugins_environment() {
        let folder = tempfile::tempdir().unwrap();
        let executable = executable(folder.path());
        let command = executable.command(&[]).unwrap();
        assert_eq!(variable(&command, "DROPIN_PLUGIN"), Some("greet".as_ref()));
        assert_eq!(variable(&command, "DROPIN_PLUGINS_DIR"), Some(executable.plugins.as_ref()));
        assert_eq!(variable(&command, "DROPIN_DATA_DIR"), Some(executable.data_dir.as_ref()));
        assert_eq!(command.get_current_dir(), Some(&*executable.data_dir));
        assert!(executable.data_dir.is_dir());
        for name in ["PYTHONPATH", "NODE_PATH"] {
            let folders = variable(&command, name).unwrap();
            assert_eq!(env::split_paths(folders).next().as_ref(), Some(&executable.plugins));
        }
        assert_eq!(variable(&command, "TMPDIR"), None);
    }

    #[test]
    fn signed_plugins_find_no_modules_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let executable = Executable { module_folders: Vec::new(), ..executable(folder.path()) };
        let command = executable.command(&[]).unwrap();
        assert_eq!(["PYTHONPATH", "NODE_PATH"].map(|name| variable(&command, name)), [None, None]);
    }

    #[test]
    fn sandboxed_plugin_keeps_temporary_files_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let mut executable = executable(folder.path());
        executable.limits.sandbox = Sandbox::Files;
        let command = executable.command(&[]).unwrap();
        assert_eq!(variable(&command, "TMPDIR"), Some(executable.data_dir.as_ref()));
    }

    #[test]
    fn interpreter_gets_the_file_and_its_arguments() {
        let folder = tempfile::tempdir().unwrap();
        let interpreter = ["node", "--no-warnings"].map(str::to_owned).into();
        let executable = Executable { interpreter, ..executable(folder.path()) };
        let command = executable.command(&["a b".into(), "".into()]).unwrap();
        let words: Vec<_> =
            std::iter::once(command.get_program()).chain(command.get_args()).collect();
        let expected: [&OsStr; 5] = [
            "node".as_ref(),
            "--no-warnings".as_ref(),
            executable.file.as_ref(),
            "a b".as_ref(),
            "".as_ref(),
        ];
        assert!(words.ends_with(&expected), "{words:?}");
    }

    #[test]
    fn folder_comes_before_those_of_the_user() {
        let plugins = &[PathBuf::from("plugins")];
        assert_eq!(prepended(plugins, None), "plugins");
        assert_eq!(prepended(plugins, Some("".into())), "plugins");
        // An empty entry would mean the working directory.
        let found = prepended(plugins, Some(list(&["one", "", "two"])));
        assert_eq!(found, list(&["plugins", "one", "two"]));
    }

    #[cfg(unix)]
    #[test]
    fn folder_with_a_separator_is_left_out() {
        assert_eq!(prepended(&["a:b".into()], Some("one:two".into())), "one:two");
        assert_eq!(prepended(&["a:b".into()], None), "");
    }
}
