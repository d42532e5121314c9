//! The log of an attempt: one file, appended over its stages, bounded whatever the build prints.
//!
//! It stops at a cap (the rest is read and dropped, so the build does not block), cuts long lines, and remembers
//! makepkg's own words about what failed.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Longest line kept, in bytes (FORMATS, "Numbers": line 16 KiB).
const LINE_LIMIT: usize = 16 << 10;

/// How much of a line is looked at, in bytes.
const SCAN_LIMIT: usize = 1 << 10;

/// What makepkg said about a failure; a build can print the same words, but only about itself.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Findings {
    /// `NAME` of the last `A failure occurred in NAME().`
    pub(super) function: Option<String>,
    /// The last line behind `==> ERROR: `.
    pub(super) error: Option<String>,
    /// The last line in which bash names a place in the PKGBUILD.
    pub(super) syntax: Option<String>,
}

/// Writes the log.
#[derive(Debug)]
pub(super) struct LogWriter {
    file: File,
    left: u64,
    in_line: usize,
    head: Vec<u8>,
    findings: Findings,
}

impl LogWriter {
    /// Opens or creates the log; `cap` bounds the whole file, in bytes.
    pub(super) fn append(path: &Path, cap: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let length = file.metadata()?.len();
        Ok(Self {
            file,
            left: cap.saturating_sub(length),
            in_line: 0,
            head: Vec::new(),
            findings: Findings::default(),
        })
    }

    /// A line of our own, in makepkg's form.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        if self.in_line > 0 {
            self.put(b"\n")?;
        }
        self.in_line = 0;
        self.put(format!("==> pacmesh: {text}\n").as_bytes())
    }

    /// Output of the build.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line_part(line)?;
        }
        Ok(())
    }

    /// What was found since the log was opened.
    pub(super) fn findings(&self) -> &Findings {
        &self.findings
    }

    fn line_part(&mut self, part: &[u8]) -> io::Result<()> {
        let ends = part.last() == Some(&b'\n');
        let text = if ends { &part[..part.len() - 1] } else { part };
        let room = SCAN_LIMIT.saturating_sub(self.head.len());
        self.head.extend(&text[..text.len().min(room)]);
        let fits = text.len().min(LINE_LIMIT.saturating_sub(self.in_line));
        self.put(&text[..fits])?;
        if fits < text.len() && self.in_line <= LINE_LIMIT {
            self.put(b" [line cut]")?;
            // One more than fits: the mark is written once.
            self.in_line = LINE_LIMIT + 1;
        } else {
            self.in_line += fits;
        }
        if ends {
            self.put(b"\n")?;
            self.in_line = 0;
            let head = std::mem::take(&mut self.head);
            self.scan(&String::from_utf8_lossy(&head));
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        const MARK: &[u8] = b"\n==> pacmesh: the log is full, the rest is dropped\n";
        if self.left == 0 {
            return Ok(());
        }
        let fits = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.file.write_all(&bytes[..fits])?;
        self.left -= fits as u64;
        if self.left == 0 {
            self.file.write_all(MARK)?;
        }
        Ok(())
    }

    fn scan(&mut self, line: &str) {
        if let Some(error) = line.strip_prefix("==> ERROR: ") {
            if let Some(function) = error
                .strip_prefix("A failure occurred in ")
                .and_then(|rest| rest.strip_suffix("()."))
            {
                self.findings.function = Some(function.to_owned());
            }
            self.findings.error = Some(error.to_owned());
        } else if line.contains("PKGBUILD: line ") {
            self.findings.syntax = Some(line.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cap: u64, parts: &[&[u8]]) -> (Vec<u8>, Findings) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = LogWriter::append(&path, cap).unwrap();
        for part in parts {
            log.write(part).unwrap();
        }
        let findings = log.findings().clone();
        (std::fs::read(path).unwrap(), findings)
    }

    #[test]
    fn inv5_a_build_that_prints_without_end_fills_no_disk() {
        let line = vec![b'x'; 1000];
        let (bytes, _) = written(5000, &[line.as_slice(); 100]);
        assert!(bytes.len() < 5100, "{}", bytes.len());
        assert!(String::from_utf8_lossy(&bytes).contains("the log is full"));
    }

    #[test]
    fn a_long_line_is_cut_once_and_the_next_one_is_whole() {
        let long = vec![b'y'; 10_000];
        let (bytes, _) = written(1 << 20, &[&long, &long, &long, b"\nnext\n"]);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.matches("[line cut]").count(), 1);
        assert!(text.ends_with("\nnext\n"));
        assert!(text.len() < LINE_LIMIT + 100);
    }

    #[test]
    fn a_failed_function_is_recognised_across_reads() {
        let (_, findings) = written(
            1 << 20,
            &[
                b"==> ERROR: A failure occ",
                b"urred in package_foo().\n    Aborting...\n",
            ],
        );
        assert_eq!(findings.function.as_deref(), Some("package_foo"));
    }

    #[test]
    fn the_cap_counts_what_earlier_stages_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        LogWriter::append(&path, 100).unwrap().write(&[b'a'; 90]).unwrap();
        LogWriter::append(&path, 100).unwrap().write(&[b'b'; 90]).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.matches('b').count(), 10);
    }
}
