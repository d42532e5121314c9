//! What happens to machines: lids close, power fails, disks fill, homes are wiped or come back from a backup.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    mount::{MountFlags, UnmountFlags},
    process::{Pid, Signal},
};

use crate::{
    cluster::{Farm, Node},
    process::{marked, must},
    wait::wait_for,
};

/// How long the kernel may take to stop or end processes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

impl Node {
    /// Stops every process of the machine, as a closed lid does; only the network goes on.
    #[track_caller]
    pub fn close_lid(&self) {
        // What forks meanwhile is found by the next look.
        wait_for("all processes to stand still", PATIENCE, || {
            let awake: Vec<_> = self
                .family()
                .into_iter()
                .filter(|pid| !is_stopped(*pid))
                .collect();
            signal_all(&awake, Signal::STOP);
            awake.is_empty().then_some(())
        });
    }

    /// Lets them go on.
    pub fn open_lid(&self) {
        signal_all(&self.family(), Signal::CONT);
    }

    /// Kills every process of the machine at once, builds included; what was synced is on disk.
    #[track_caller]
    pub fn power_off(&mut self) {
        wait_for("all processes to end", PATIENCE, || {
            let family = self.family();
            signal_all(&family, Signal::KILL);
            self.kill();
            family.is_empty().then_some(())
        });
    }

    /// Copies the home to `to`, as a backup that runs at night would: the node should stand still.
    #[track_caller]
    pub fn copy_home(&self, to: &Path) {
        let words = ["-a", "--reflink=auto", path(&self.home), path(to)];
        must("cp", &words);
    }

    /// Replaces the home by such a copy; the node must not run.
    #[track_caller]
    pub fn put_home_back(&self, from: &Path) {
        self.wipe_home();
        let words = ["-a", "--reflink=auto", path(from), path(&self.home)];
        must("cp", &words);
    }

    /// Removes the home; the node must not run.
    #[track_caller]
    pub fn wipe_home(&self) {
        assert!(
            self.pid().is_none(),
            "{} runs: its home is not to be touched",
            self.name
        );
        std::fs::remove_dir_all(&self.home).expect("a home to remove");
    }

    /// The daemon, and whatever it or an earlier life of it started.
    fn family(&self) -> Vec<Pid> {
        let mark = format!("{}/", self.home.display());
        let mut found: BTreeSet<i32> = marked(&mark).into_iter().collect();
        found.extend(self.pid().map(|pid| pid as i32));
        let parents = parents();
        loop {
            let grown: BTreeSet<i32> = parents
                .iter()
                .filter(|(_, parent)| found.contains(parent))
                .map(|(pid, _)| *pid)
                .collect();
            let before = found.len();
            found.extend(grown);
            if found.len() == before {
                break;
            }
        }
        // A process that ended and was not waited for is no process any more.
        found.retain(|pid| !matches!(state(*pid), None | Some('Z')));
        found.into_iter().filter_map(Pid::from_raw).collect()
    }
}

impl Farm {
    /// A small disk at `path`, below this farm's folder; it is taken away with the farm. What it holds is memory.
    #[track_caller]
    pub fn small_disk(&self, path: &Path, mib: u32) {
        assert!(
            path.starts_with(self.path()),
            "a test mounts below its own folder only"
        );
        std::fs::create_dir_all(path).expect("a folder to mount on");
        let size = std::ffi::CString::new(format!("size={mib}m,mode=755")).expect("no zero in it");
        rustix::mount::mount("tmpfs", path, "tmpfs", MountFlags::empty(), Some(&*size)).expect("a tmpfs");
    }

    /// Takes all small disks away, with what they hold.
    pub(crate) fn remove_disks(&self) {
        for mounted in self.mounts() {
            // Detached: a process that is about to end may still stand in it.
            let _ = rustix::mount::unmount(&mounted, UnmountFlags::DETACH);
        }
    }

    /// What is mounted below this farm's folder.
    pub fn mounts(&self) -> Vec<PathBuf> {
        let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let places = table
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .map(PathBuf::from);
        places.filter(|place| place.starts_with(self.path())).collect()
    }
}

/// Takes all the room that a disk has but `leave_mib`, by a file which the caller removes to make room again.
#[track_caller]
pub fn fill(disk: &Path, leave_mib: u64) -> PathBuf {
    fill_as(disk, "ballast", leave_mib)
}

/// As `fill`, by a file of that name.
#[track_caller]
pub fn fill_as(disk: &Path, name: &str, leave_mib: u64) -> PathBuf {
    let free = rustix::fs::statvfs(disk).expect("a disk");
    let bytes = (free.f_bavail * free.f_frsize).saturating_sub(leave_mib << 20);
    let ballast = disk.join(name);
    let file = std::fs::File::create(&ballast).expect("a file on the disk");
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes.max(1))
        .expect("the room that was free");
    ballast
}

fn path(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

fn signal_all(processes: &[Pid], signal: Signal) {
    for pid in processes {
        // It may have ended meanwhile.
        let _ = rustix::process::kill_process(*pid, signal);
    }
}

fn is_stopped(pid: Pid) -> bool {
    matches!(
        state(pid.as_raw_nonzero().get()),
        None | Some('T' | 't' | 'Z' | 'X')
    )
}

/// The state letter of a process (proc(5), /proc/PID/stat).
fn state(pid: i32) -> Option<char> {
    stat(pid)?.0.chars().next()
}

/// State and parent. The name before them stands in parentheses and may hold anything.
fn stat(pid: i32) -> Option<(String, i32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = text.rsplit_once(')')?.1.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

fn parents() -> BTreeMap<i32, i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| Some((pid, stat(pid)?.1)))
        .collect()
}
