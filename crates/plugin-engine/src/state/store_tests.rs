use std::{
    error::Error,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use std::sync::Mutex;

use super::*;

/// A disk on which the steps can be counted, fail or hang.
#[derive(Default)]
struct Faulty {
    /// Fails at this step, counted from 0.
    fails_at: Option<usize>,
    step: AtomicUsize,
    /// Writes wait while this is set.
    hangs: AtomicBool,
    has_no_links: bool,
}

impl Faulty {
    fn step(&self) -> io::Result<()> {
        let step = self.step.fetch_add(1, Ordering::SeqCst);
        if self.fails_at == Some(step) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Disk for Faulty {
    fn write(&self, draft: &File, bytes: &[u8]) -> io::Result<()> {
        while self.hangs.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        self.step()?;
        RealDisk.write(draft, bytes)
    }

    fn flush(&self, draft: &File) -> io::Result<()> {
        self.step()?;
        RealDisk.flush(draft)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        if self.has_no_links {
            Err(io::ErrorKind::Unsupported.into())
        } else {
            RealDisk.link(from, to)
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.rename(from, to)
    }

    fn flush_folder(&self, folder: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.flush_folder(folder)
    }
}

const LONG: Deadline<'static> = Deadline { time: Duration::from_secs(60), give_up: &|| false };

fn keep(states: &States, state: &[u8]) -> Result<(), String> {
    states.keep("store", (state.to_vec(), 0), &LONG)
}

fn load(states: &States, plugin: &str) -> Result<Option<Vec<u8>>, LoadError> {
    let saved = states.load(plugin, &mut |_, _| Ok(()))?;
    Ok(saved.and_then(|saved| saved.bytes))
}

fn loaded(states: &States) -> Option<Vec<u8>> {
    load(states, "store").unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<_> =
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn last_two_states_are_kept() {
    let temp = tempfile::tempdir().unwrap();
    let states = States::new(temp.path().join("state"));
    assert_eq!(loaded(&states), None);
    for state in [&b"one"[..], b"two", b"three"] {
        keep(&states, state).unwrap();
        assert_eq!(loaded(&states).unwrap(), state);
    }
    assert_eq!((states.size("store"), states.size("text")), (Some(5), None));
    assert_eq!(names(&temp.path().join("state")), ["store.state", "store.state.1"]);
    fs::rename(states.file_before("store"), states.file("store")).unwrap();
    assert_eq!(loaded(&states).unwrap(), b"two");
}

#[test]
fn drafts_of_a_crash_go_at_the_start() {
    let temp = tempfile::tempdir().unwrap();
    let states = States::new(temp.path().to_owned());
    keep(&states, b"whole").unwrap();
    for name in ["store.draft", "text.draft", "store.state.1.draft"] {
        fs::write(temp.path().join(name), b"ha").unwrap();
    }
    let states = States::new(temp.path().to_owned());
    assert_eq!(names(temp.path()), ["store.state"]);
    assert_eq!(loaded(&states).unwrap(), b"whole");
}

#[test]
fn states_of_earlier_versions_are_loaded() {
    let temp = tempfile::tempdir().unwrap();
    let states = States::new(temp.path().to_owned());
    for state in [&b""[..], b"pearls"] {
        fs::write(states.file("store"), state).unwrap();
        assert_eq!(loaded(&states).unwrap(), state);
        assert_eq!(states.size("store"), Some(state.len() as u64));
    }
    keep(&states, b"shells").unwrap();
    assert_eq!(loaded(&states).unwrap(), b"shells");
    assert_eq!(fs::read(states.file_before("store")).unwrap(), b"pearls");
}

#[test]
fn unreadable_state_error_keeps_its_cause() {
    let temp = tempfile::tempdir().unwrap();
    let states = States::new(temp.path().to_owned());
    fs::create_dir(states.file("store")).unwrap();
    let error = load(&states, "store").unwrap_err();
    let mut cause: &(dyn Error + 'static) = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    assert!(cause.is::<io::Error>(), "{error:?}");
}

#[test]
fn damaged_state_error_names_file_and_remedy() {
    let temp = tempfile::tempdir().unwrap();
    let states = States::new(temp.path().to_owned());
    let (file, before) = (states.file("store"), states.file_before("store"));
    let said = |states: &States| load(states, "store").unwrap_err().to_string();
    keep(&states, b"one").unwrap();
    fs::write(&file, [&fs::read(&file).unwrap()[..], b"x"].concat()).unwrap();
    assert!(said(&states).contains("'host state repair store'"), "{}", said(&states));
    assert!(!said(&states).contains("store.state.1"), "{}", said(&states));
    keep(&states, b"two").unwrap();
    for content in [&b""[..], &fs::read(&file).unwrap()[..20]] {
        fs::write(&file, content).unwrap();
        let said = said(&states);
        assert!(said.contains(&format!("{} is damaged", file.display())), "{said}");
        assert!(said.contains(&format!("move {}", before.display())), "{said}");
    }
}

/// Every step may fail, as on a full disk, or be the last before a crash.
#[test]
fn failed_write_keeps_state_and_no_draft() {
    for has_no_links in [false, true] {
        let mut failed = 0;
        for fails_at in 0.. {
            let temp = tempfile::tempdir().unwrap();
            keep(&States::new(temp.path().to_owned()), b"one").unwrap();
            keep(&States::new(temp.path().to_owned()), b"two").unwrap();
            let disk = Faulty { fails_at: Some(fails_at), has_no_links, ..Faulty::default() };
            let disk = Arc::new(disk);
            let states = States::on(Arc::clone(&disk) as _, temp.path().to_owned());
            let kept = keep(&states, b"three");
            failed += usize::from(kept.is_err());
            let state = loaded(&states).unwrap();
            assert!(state == b"three" || (kept.is_err() && state == b"two"), "{fails_at}");
            let mut there = names(temp.path());
            // Whole, but not in place: the rename has failed.
            if let Some(new) = there.iter().position(|name| name == "store.state.new") {
                there.remove(new);
                assert_eq!(state, b"two");
            }
            assert_eq!(there, ["store.state", "store.state.1"], "{fails_at}");
            if let Err(said) = kept {
                assert!(said.contains("store.state: "), "{said}");
                keep(&States::new(temp.path().to_owned()), b"four").unwrap();
            }
            if disk.step.load(Ordering::SeqCst) <= fails_at {
                break;
            }
        }
        // Three writes, the flush, the rename and the flush of the folder; keeping the file before is
        // no step here.
        assert_eq!(failed, 6);
    }
}

#[test]
fn hanging_write_is_abandoned_and_named() {
    let temp = tempfile::tempdir().unwrap();
    let disk = Arc::new(Faulty::default());
    let states = States::on(Arc::clone(&disk) as _, temp.path().to_owned());
    keep(&states, b"one").unwrap();
    disk.hangs.store(true, Ordering::SeqCst);
    let short = Deadline { time: Duration::from_millis(30), give_up: &|| false };
    let said = states.keep("store", (b"two".to_vec(), 0), &short).unwrap_err();
    assert!(said.contains("store.state: the disk did not write the state in time"), "{said}");
    let said = states.keep("store", (b"three".to_vec(), 0), &short).unwrap_err();
    assert!(said.contains("an earlier write to it has not returned"), "{said}");
    states.keep("keeper", (b"x".to_vec(), 0), &short).unwrap_err();
    disk.hangs.store(false, Ordering::SeqCst);
    // It waits for the earlier write, which is discarded.
    keep(&states, b"four").unwrap();
    assert_eq!(loaded(&states).unwrap(), b"four");
    // It waits for the abandoned write.
    drop(states.begin("keeper", &LONG).unwrap());
    assert_eq!(load(&states, "keeper").unwrap(), None);
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 2);
}

/// A disk that refuses to rename a file to some names.
struct Stubborn {
    refuses: fn(&Path) -> bool,
}

impl Disk for Stubborn {
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if (self.refuses)(to) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        RealDisk.rename(from, to)
    }
}

#[test]
fn error_says_where_misplaced_state_is() {
    let temp = tempfile::tempdir().unwrap();
    let on = |refuses| States::on(Arc::new(Stubborn { refuses }), temp.path().to_owned());
    keep(&States::new(temp.path().to_owned()), b"one").unwrap();
    let new = temp.path().join("store.state.new");
    let said = keep(&on(|_| true), b"two").unwrap_err();
    assert!(!said.contains("store.state.new") && !new.exists(), "{said}");
    let states = on(|to| to.extension().is_some_and(|extension| extension == "state"));
    let said = keep(&states, b"three").unwrap_err();
    assert!(said.ends_with(&format!("the state is in {}, move it there", new.display())), "{said}");
    assert_eq!(loaded(&states).unwrap(), b"one");
    fs::rename(&new, states.file("store")).unwrap();
    assert_eq!(loaded(&states).unwrap(), b"three");
}

/// A disk that records the progress of the save at each write.
#[derive(Default)]
struct Observed {
    saves: OnceLock<Arc<Saves>>,
    stages: Mutex<Vec<Option<Stage>>>,
}

impl Disk for Observed {
    fn write(&self, _: &File, _: &[u8]) -> io::Result<()> {
        let stage = self.saves.get().unwrap().stage("store");
        self.stages.lock().unwrap().push(stage);
        Ok(())
    }
}

#[test]
fn progress_of_a_write_is_noted() {
    const MIB: usize = 1 << 20;
    let (temp, disk) = (tempfile::tempdir().unwrap(), Arc::new(Observed::default()));
    let states = States::on(Arc::clone(&disk) as _, temp.path().to_owned());
    disk.saves.set(Arc::clone(states.saves())).unwrap();
    keep(&states, &vec![0; 9 * MIB]).unwrap();
    let written = [0, 0, 4, 8, 9].map(|mib| Some(Stage::Write(mib << 20, 9 << 20)));
    assert_eq!(*disk.stages.lock().unwrap(), written);
    assert_eq!(states.saves().stage("store"), None, "it is over");
}

#[cfg(unix)]
#[test]
fn unreadable_state_is_not_treated_as_missing() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("file");
    fs::write(&folder, b"no folder").unwrap();
    let said = load(&States::new(folder), "store").unwrap_err().to_string();
    assert!(said.starts_with("cannot read its saved state "), "{said}");
}

#[cfg(windows)]
#[test]
fn error_says_where_unreplaced_state_is() {
    use std::os::windows::fs::OpenOptionsExt;
    use windows_sys::Win32::Storage::FileSystem::FILE_SHARE_READ;
    let temp = tempfile::tempdir().unwrap();
    let states = States::new(temp.path().to_owned());
    keep(&states, b"one").unwrap();
    let file = states.file("store");
    let held = File::options().read(true).share_mode(FILE_SHARE_READ).open(file).unwrap();
    let short = Deadline { time: Duration::from_millis(500), give_up: &|| false };
    let error = states.keep("store", (b"two".to_vec(), 0), &short).unwrap_err();
    assert!(error.contains("store.state"), "{error}");
    drop(held);
    assert_eq!(loaded(&states).unwrap(), b"one");
    keep(&states, b"two").unwrap();
    assert_eq!(loaded(&states).unwrap(), b"two");
}
