//! Events as lines of a file that is exchanged when it is full (k8s.io/apiserver `plugin/pkg/audit/log`; names and limits
//! of the old files are those of upstream's rotation).
//!
//! An event is in the file when its request is answered: that is what an audit log is for. Writing goes to the page cache.

use super::Sink;
use super::event::Event;
use apimachinery::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// When the file is exchanged, and how long old ones are kept. Zero is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    pub megabytes: u64,
    pub backups: usize,
    pub days: u32,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { megabytes: 100, backups: 0, days: 0 }
    }
}

/// See the module.
pub struct Log {
    path: PathBuf,
    rotation: Rotation,
    clock: Arc<dyn Clock>,
    file: Mutex<Open>,
}

struct Open {
    file: File,
    size: u64,
}

const STAMP: &str = "%Y-%m-%dT%H-%M-%S.%3f";

impl Log {
    pub fn open(path: &Path, rotation: Rotation, clock: Arc<dyn Clock>) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = Mutex::new(open(path)?);
        Ok(Self { path: path.to_owned(), rotation, clock, file })
    }

    fn append(&self, line: &[u8]) -> io::Result<()> {
        let mut open = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = self.rotation.megabytes * 1024 * 1024;
        if limit > 0 && open.size > 0 && open.size + line.len() as u64 > limit {
            *open = self.rotate()?;
        }
        open.file.write_all(line)?;
        open.size += line.len() as u64;
        Ok(())
    }

    fn rotate(&self) -> io::Result<Open> {
        let now = self.clock.now();
        std::fs::rename(&self.path, self.backup(now))?;
        let fresh = open(&self.path)?;
        if let Err(error) = self.forget(now) {
            tracing::warn!(%error, path = %self.path.display(), "old audit logs could not be removed");
        }
        Ok(fresh)
    }

    fn parts(&self) -> (String, String) {
        let text = |part: Option<&std::ffi::OsStr>| part.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
        let extension = text(self.path.extension());
        (text(self.path.file_stem()), if extension.is_empty() { extension } else { format!(".{extension}") })
    }

    fn backup(&self, at: Timestamp) -> PathBuf {
        let (stem, extension) = self.parts();
        self.path.with_file_name(format!("{stem}-{}{extension}", at.strftime(STAMP)))
    }

    /// Old files with their times, newest first.
    fn backups(&self) -> io::Result<Vec<(Timestamp, PathBuf)>> {
        let (stem, extension) = self.parts();
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let stamp = name.strip_prefix(&format!("{stem}-")).and_then(|rest| rest.strip_suffix(&extension));
            let at = stamp.and_then(|s| jiff::civil::DateTime::strptime(STAMP, s).ok());
            if let Some(at) = at.and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC).ok()) {
                found.push((at.timestamp(), path));
            }
        }
        found.sort_by(|a, b| b.cmp(a));
        Ok(found)
    }

    fn forget(&self, now: Timestamp) -> io::Result<()> {
        let Rotation { backups, days, .. } = self.rotation;
        let oldest = now - SignedDuration::from_hours(24 * i64::from(days));
        for (index, (at, path)) in self.backups()?.into_iter().enumerate() {
            if (backups > 0 && index >= backups) || (days > 0 && at < oldest) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<Open> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let size = file.metadata()?.len();
    Ok(Open { file, size })
}

impl Sink for Log {
    fn write(&self, event: &Arc<Event>) {
        let written = serde_json::to_vec(&**event).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.append(&line)
        });
        if let Err(error) = written {
            tracing::error!(%error, path = %self.path.display(), audit_id = event.audit_id, "an audit event is lost");
        }
    }
}

/// Events as lines of the standard output, as upstream's path `-` means.
pub struct Output;

impl Sink for Output {
    fn write(&self, event: &Arc<Event>) {
        if let Ok(mut line) = serde_json::to_vec(&**event) {
            line.push(b'\n');
            let _ = io::stdout().lock().write_all(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apimachinery::clock::FixedClock;
    use std::time::Duration;

    #[test]
    fn full_files_are_exchanged_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/audit.log");
        let clock = Arc::new(FixedClock::new(1_800_000_000));
        let rotation = Rotation { megabytes: 1, backups: 2, days: 7 };
        let log = Log::open(&path, rotation, clock.clone()).unwrap();
        let line = vec![b'x'; 600 * 1024];
        for _ in 0..5 {
            log.append(&line).unwrap();
            clock.advance(Duration::from_hours(1));
        }
        let names = |log: &Log| -> Vec<String> {
            log.backups().unwrap().iter().map(|(_, p)| p.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(&log), ["audit-2027-01-15T12-00-00.000.log", "audit-2027-01-15T11-00-00.000.log"]);
        clock.advance(Duration::from_hours(24 * 8));
        log.append(&line).unwrap();
        assert_eq!(names(&log).len(), 1);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), line.len() as u64);
        // What is there already counts.
        let again = Log::open(&path, rotation, clock).unwrap();
        again.append(&line).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), line.len() as u64);
    }
}
