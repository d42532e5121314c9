//! Log lines: taken at the speed of memory, written behind, read from both.
//!
//! A worker posts one request per line, so nothing is synced for one. What is in memory is bounded; a base whose lines
//! were let go is read again from its file.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pacmesh_protocol::{ledger::kinds::GenerationKey, names::PackageName};
use tokio::sync::watch;

use super::Door;
use crate::{clock, compat::log::LogRecord};

/// Between two writings.
const PACE: Duration = Duration::from_millis(500);
/// Most bytes of lines of one base (FORMATS, "Numbers": log 64 MiB); beyond it the oldest go.
const BASE_LIMIT: usize = 64 << 20;
/// Most bytes of lines in memory; of bases beyond it only the files are left.
const MEMORY: usize = 96 << 20;
/// Most bytes that wait to be written; whoever posts faster is told to wait.
const UNWRITTEN: usize = 32 << 20;

type Key = (GenerationKey, PackageName);

/// The lines of one base.
#[derive(Debug, Default)]
struct Lines {
    lines: Vec<LogRecord>,
    bytes: usize,
    /// So many of them are in the file.
    written: usize,
    /// The file is to be written anew: lines went.
    stale: bool,
    used: u64,
}

#[derive(Debug, Default)]
struct State {
    bases: BTreeMap<Key, Lines>,
    bytes: usize,
    unwritten: usize,
    clock: u64,
    /// How many processes were kept last, by place.
    kept: BTreeMap<GenerationKey, usize>,
}

/// All lines.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    /// Held while lines are added or copied, and while a file is read for the first time; never over an await.
    state: Mutex<State>,
}

/// Lines come faster than the disk takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Journal {
    pub(super) fn open(folder: PathBuf) -> Self {
        Self {
            folder,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line.
    pub(super) fn add(&self, place: &GenerationKey, base: &PackageName, line: LogRecord) -> Result<(), Full> {
        let mut state = self.state();
        if state.unwritten > UNWRITTEN {
            return Err(Full);
        }
        let size = size_of(&line);
        let lines = state.lines(&self.folder, place, base);
        lines.lines.push(line);
        lines.bytes += size;
        if lines.bytes > BASE_LIMIT {
            let half = lines.lines.len() / 2;
            lines.drop_where(|at, _| at < half);
        }
        state.bytes += size;
        state.unwritten += size;
        Ok(())
    }

    /// All lines of a base, the oldest first.
    pub(super) fn of(&self, place: &GenerationKey, base: &PackageName) -> Vec<LogRecord> {
        let mut state = self.state();
        state.lines(&self.folder, place, base).lines.clone()
    }

    /// Removes the lines of a base; with `keep`, only those of every other version.
    pub(super) fn forget(&self, place: &GenerationKey, base: &PackageName, keep: Option<&str>) {
        let mut state = self.state();
        let lines = state.lines(&self.folder, place, base);
        lines.drop_where(|_, line| keep.is_none_or(|keep| line.version != keep));
    }

    /// Keeps the lines of the `newest` processes of each base of a place.
    pub(super) fn rotate(&self, place: &GenerationKey, newest: usize) {
        let mut state = self.state();
        // Where as many are kept as the last time, only what is in memory may have more.
        let files = match state.kept.insert(place.clone(), newest) {
            Some(last) if last == newest => Vec::new(),
            _ => known(&self.folder, place),
        };
        let mut bases: Vec<Key> = files.into_iter().map(|base| (place.clone(), base)).collect();
        bases.extend(state.bases.keys().filter(|(of, _)| of == place).cloned());
        for (place, base) in bases {
            let lines = state.lines(&self.folder, &place, &base);
            let mut processes: Vec<(String, Option<String>)> = Vec::new();
            for line in lines.lines.iter().rev() {
                let process = (line.version.clone(), line.process_id.clone());
                if !processes.contains(&process) {
                    processes.push(process);
                }
            }
            processes.truncate(newest);
            lines.drop_where(|_, line| {
                !processes
                    .iter()
                    .any(|(version, process)| *version == line.version && *process == line.process_id)
            });
        }
    }

    /// Brings the files up to date.
    fn write(&self) {
        for (key, whole, bytes) in self.unwritten() {
            let path = path_of(&self.folder, &key.0, &key.1);
            if let Err(error) = put(&path, whole, &bytes) {
                tracing::warn!(path = %path.display(), %error, "log lines could not be written");
            }
        }
        self.state().shrink();
    }

    fn unwritten(&self) -> Vec<(Key, bool, Vec<u8>)> {
        let mut state = self.state();
        state.unwritten = 0;
        let mut parts = Vec::new();
        for (key, lines) in &mut state.bases {
            if !lines.stale && lines.written == lines.lines.len() {
                continue;
            }
            let from = if lines.stale { 0 } else { lines.written };
            let mut bytes = Vec::new();
            for line in &lines.lines[from..] {
                // A line is a map of strings and a number, which JSON has.
                let _ = serde_json::to_writer(&mut bytes, line);
                bytes.push(b'\n');
            }
            parts.push((key.clone(), lines.stale, bytes));
            (lines.written, lines.stale) = (lines.lines.len(), false);
        }
        parts
    }
}

impl State {
    fn lines(&mut self, folder: &Path, place: &GenerationKey, base: &PackageName) -> &mut Lines {
        self.clock += 1;
        let (clock, bytes) = (self.clock, &mut self.bytes);
        let lines = self
            .bases
            .entry((place.clone(), base.clone()))
            .or_insert_with(|| {
                let read = read(&path_of(folder, place, base));
                *bytes += read.bytes;
                read
            });
        lines.used = clock;
        lines
    }

    /// Lets go of what was used longest ago and is written.
    fn shrink(&mut self) {
        self.bytes = self.bases.values().map(|lines| lines.bytes).sum();
        while self.bytes > MEMORY {
            let written = self
                .bases
                .iter()
                .filter(|(_, lines)| !lines.stale && lines.written == lines.lines.len());
            let Some(oldest) = written
                .min_by_key(|(_, lines)| lines.used)
                .map(|(key, _)| key.clone())
            else {
                return;
            };
            if let Some(lines) = self.bases.remove(&oldest) {
                self.bytes -= lines.bytes;
            }
        }
    }
}

impl Lines {
    fn drop_where(&mut self, goes: impl Fn(usize, &LogRecord) -> bool) {
        let before = self.lines.len();
        let mut at = 0;
        self.lines.retain(|line| {
            at += 1;
            !goes(at - 1, line)
        });
        if self.lines.len() != before {
            self.bytes = self.lines.iter().map(size_of).sum();
            (self.written, self.stale) = (0, true);
        }
    }
}

fn size_of(line: &LogRecord) -> usize {
    let process = line.process_id.as_ref().map_or(0, String::len);
    size_of_val(line) + line.message.len() + line.version.len() + process
}

/// Names of repositories, architectures and packages are names of files: none begins with a dot or has a slash.
fn path_of(folder: &Path, place: &GenerationKey, base: &PackageName) -> PathBuf {
    folder_of(folder, place).join(format!("{base}.jsonl"))
}

fn folder_of(folder: &Path, place: &GenerationKey) -> PathBuf {
    folder.join(place.repository.as_str()).join(place.arch.as_str())
}

fn known(folder: &Path, place: &GenerationKey) -> Vec<PackageName> {
    let entries = std::fs::read_dir(folder_of(folder, place))
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".jsonl")?.parse().ok())
        .collect()
}

/// A line that was cut off by a crash, and whatever follows it on its line, is passed over.
fn read(path: &Path) -> Lines {
    let text = std::fs::read(path).unwrap_or_default();
    let lines: Vec<LogRecord> = text
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    Lines {
        bytes: lines.iter().map(size_of).sum(),
        written: lines.len(),
        lines,
        ..Lines::default()
    }
}

fn put(path: &Path, whole: bool, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    if whole {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        return Ok(());
    }
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(bytes)
}

/// Writes behind until `stop` says so, and then the rest.
pub(super) async fn write(door: Arc<Door>, mut stop: watch::Receiver<bool>) {
    loop {
        let stopped = tokio::time::timeout(PACE, stop.wait_for(|stop| *stop))
            .await
            .is_ok();
        let writing = door.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || writing.journal.write()).await {
            tracing::error!(%error, "log lines could not be written");
        }
        if stopped {
            return;
        }
    }
}

impl Door {
    /// Adds a line of the mesh's own, and tells it.
    pub(super) fn say(
        &self,
        place: &GenerationKey,
        base: &PackageName,
        version: &str,
        process: &str,
        message: &str,
    ) {
        let line = LogRecord {
            created: clock::wall_ms() as f64 / 1000.0,
            message: message.to_owned(),
            version: version.to_owned(),
            process_id: Some(process.to_owned()),
        }
        .bounded();
        self.teller
            .tell(crate::compat::event::Told::log(base.as_str(), &line));
        if self.journal.add(place, base, line).is_err() {
            tracing::warn!(%base, message, "a log line was lost: the disk does not keep up");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> GenerationKey {
        GenerationKey {
            repository: "farm".parse().unwrap(),
            arch: "x86_64".parse().unwrap(),
        }
    }

    fn line(message: &str, version: &str, process: &str) -> LogRecord {
        LogRecord {
            created: 1.0,
            message: message.to_owned(),
            version: version.to_owned(),
            process_id: Some(process.to_owned()),
        }
    }

    fn messages(journal: &Journal, base: &PackageName) -> Vec<String> {
        let lines = journal.of(&place(), base);
        lines.into_iter().map(|line| line.message).collect()
    }

    #[test]
    fn lines_are_read_at_once_and_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let base: PackageName = "hello".parse().unwrap();
        let journal = Journal::open(dir.path().to_owned());
        journal.add(&place(), &base, line("one", "1-1", "p")).unwrap();
        assert_eq!(messages(&journal, &base), ["one"]);
        journal.write();
        journal.add(&place(), &base, line("two\n", "1-1", "p")).unwrap();
        journal.write();
        let again = Journal::open(dir.path().to_owned());
        assert_eq!(messages(&again, &base), ["one", "two\n"]);
    }

    #[test]
    fn other_versions_go_and_the_newest_processes_stay() {
        let dir = tempfile::tempdir().unwrap();
        let base: PackageName = "hello".parse().unwrap();
        let journal = Journal::open(dir.path().to_owned());
        for (message, version, process) in [("a", "1-1", "p"), ("b", "1-2", "q"), ("c", "1-2", "r")] {
            journal
                .add(&place(), &base, line(message, version, process))
                .unwrap();
        }
        journal.write();
        let again = Journal::open(dir.path().to_owned());
        again.rotate(&place(), 2);
        assert_eq!(messages(&again, &base), ["b", "c"]);
        again.forget(&place(), &base, Some("1-1"));
        assert_eq!(messages(&again, &base), [""; 0]);
        again.write();
        assert_eq!(messages(&Journal::open(dir.path().to_owned()), &base), [""; 0]);
    }

    #[test]
    fn inv5_who_posts_faster_than_the_disk_takes_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let base: PackageName = "hello".parse().unwrap();
        let journal = Journal::open(dir.path().to_owned());
        let long = "x".repeat(crate::compat::log::LINE_LIMIT);
        let taken = (0..4096)
            .take_while(|_| journal.add(&place(), &base, line(&long, "1-1", "p")).is_ok())
            .count();
        assert!(taken < 4096, "nothing bounds what waits");
        journal.write();
        assert!(journal.add(&place(), &base, line("one", "1-1", "p")).is_ok());
    }
}
