//! Log lines.

use pacmesh_protocol::names::PackageName;
use serde::{Deserialize, Serialize};

/// The version of a package that was never seen.
pub const UNKNOWN_VERSION: &str = "<unknown>";
/// Longest line that is kept, in bytes (FORMATS, "Numbers": line 16 KiB).
pub const LINE_LIMIT: usize = 16 << 10;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogRecord {
    /// When, in seconds since 1970.
    pub created: f64,
    /// What.
    pub message: String,
    /// Of which version of the package.
    pub version: String,
    /// By which process.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub process_id: Option<String>,
}

impl LogRecord {
    /// The line no longer than it may be, and no invalid time.
    pub fn bounded(mut self) -> Self {
        if self.message.len() > LINE_LIMIT {
            let end = (0..=LINE_LIMIT)
                .rev()
                .find(|at| self.message.is_char_boundary(*at));
            self.message.truncate(end.unwrap_or(0));
        }
        self
    }

    /// Whether both are of one process.
    pub fn is_of_process(&self, other: &Self) -> bool {
        self.version == other.version && self.process_id == other.process_id
    }
}

/// Which lines are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFilter {
    /// Of this version.
    pub version: Option<String>,
    /// Of this process.
    pub process_id: Option<String>,
}

impl LogFilter {
    /// Whether a line is asked for.
    pub fn takes(&self, line: &LogRecord) -> bool {
        self.version
            .as_ref()
            .is_none_or(|version| *version == line.version)
            && (self.process_id.is_none() || self.process_id == line.process_id)
    }
}

/// The first line of each run of lines of one process, without its text.
pub fn heads<'a>(lines: impl IntoIterator<Item = &'a LogRecord>) -> Vec<LogRecord> {
    let mut heads: Vec<LogRecord> = Vec::new();
    for line in lines {
        if heads.last().is_none_or(|head| !head.is_of_process(line)) {
            heads.push(LogRecord {
                message: String::new(),
                ..line.clone()
            });
        }
    }
    heads
}

/// All lines as one text, each with its time (UTC).
pub fn text<'a>(lines: impl IntoIterator<Item = &'a LogRecord>) -> String {
    let lines: Vec<String> = lines
        .into_iter()
        .map(|line| format!("[{}] {}", time(line.created), line.message))
        .collect();
    lines.join("\n")
}

fn time(created: f64) -> String {
    // A cast saturates, and what is out of range is shown as the epoch.
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs((created as u64).min(253_402_300_799));
    humantime::format_rfc3339_seconds(at)
        .to_string()
        .replace('T', " ")
        .trim_end_matches('Z')
        .to_owned()
}

/// The answer of the first version of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogsV1 {
    /// Of which base.
    pub package_base: PackageName,
    /// How it stands.
    pub status: super::status::Status,
    /// All lines.
    pub logs: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str, process: &str) -> LogRecord {
        LogRecord {
            created: 1_795_466_204.9,
            message: message.to_owned(),
            version: "1.0-1".to_owned(),
            process_id: Some(process.to_owned()),
        }
    }

    #[test]
    fn heads_are_the_beginnings_of_runs() {
        let lines = [line("a", "1"), line("b", "1"), line("c", "2"), line("d", "1")];
        let heads = heads(&lines);
        let processes: Vec<_> = heads
            .iter()
            .map(|head| head.process_id.as_deref().unwrap())
            .collect();
        assert_eq!(processes, ["1", "2", "1"]);
        assert!(heads.iter().all(|head| head.message.is_empty()));
    }

    #[test]
    fn a_text_has_one_line_each_with_its_time() {
        assert_eq!(
            text(&[line("one", "1"), line("two", "1")]),
            "[2026-11-23 20:36:44] one\n[2026-11-23 20:36:44] two"
        );
    }

    #[test]
    fn inv5_a_line_is_cut_between_characters() {
        let long = line(&"ä".repeat(LINE_LIMIT), "1").bounded();
        assert!(long.message.len() <= LINE_LIMIT && long.message.ends_with('ä'));
    }
}
