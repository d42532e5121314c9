//! Events: the audit log, and what is told to those who listen.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{log::LogRecord, status::BuildStatus};

/// What happens; the only words that a listener may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// A line of a log.
    BuildLog,
    /// Held or released.
    PackageHeld,
    /// A newer version is known.
    PackageOutdated,
    /// Gone.
    PackageRemoved,
    /// Another status.
    PackageStatusChanged,
    /// An update failed.
    PackageUpdateFailed,
    /// Another version.
    PackageUpdated,
    /// Another status of the service.
    ServiceStatusChanged,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::BuildLog,
        Self::PackageHeld,
        Self::PackageOutdated,
        Self::PackageRemoved,
        Self::PackageStatusChanged,
        Self::PackageUpdateFailed,
        Self::PackageUpdated,
        Self::ServiceStatusChanged,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BuildLog => "build-log",
            Self::PackageHeld => "package-held",
            Self::PackageOutdated => "package-outdated",
            Self::PackageRemoved => "package-removed",
            Self::PackageStatusChanged => "package-status-changed",
            Self::PackageUpdateFailed => "package-update-failed",
            Self::PackageUpdated => "package-updated",
            Self::ServiceStatusChanged => "service-status-changed",
        }
    }

    /// What the word means.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether whoever may look may listen to it.
    pub const fn is_read_safe(self) -> bool {
        !matches!(self, Self::BuildLog)
    }
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What happened; one of [`EventKind`], or any other word.
    pub event: String,
    /// To what.
    pub object_id: String,
    /// When, in seconds since 1970; 0 while that is to be filled in.
    #[serde(default)]
    pub created: i64,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
    /// Whatever else there is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data: Option<Map<String, Value>>,
}

/// What is asked of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Only these.
    pub event: Option<String>,
    /// Only about this.
    pub object_id: Option<String>,
    /// From then on.
    pub from_date: Option<i64>,
    /// Before then.
    pub to_date: Option<i64>,
}

impl EventFilter {
    /// Whether an event is asked for.
    pub fn takes(&self, event: &Event) -> bool {
        self.event.as_ref().is_none_or(|name| *name == event.event)
            && self.object_id.as_ref().is_none_or(|id| *id == event.object_id)
            && self.from_date.is_none_or(|from| event.created >= from)
            && self.to_date.is_none_or(|to| event.created < to)
    }
}

/// Something to be told to listeners.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// What happened.
    pub kind: EventKind,
    /// To what, where it is not the service.
    pub object_id: Option<String>,
    data: Value,
}

impl Told {
    fn about(kind: EventKind, object_id: &str, mut data: Value) -> Self {
        data["object_id"] = object_id.into();
        Self {
            kind,
            object_id: Some(object_id.to_owned()),
            data,
        }
    }

    /// The service stands otherwise.
    pub fn service(status: BuildStatus) -> Self {
        Self {
            kind: EventKind::ServiceStatusChanged,
            object_id: None,
            data: json!({"object_id": null, "status": status}),
        }
    }

    /// A package stands otherwise.
    pub fn status(base: &str, status: BuildStatus) -> Self {
        Self::about(EventKind::PackageStatusChanged, base, json!({"status": status}))
    }

    /// A package is another one.
    pub fn updated(base: &str, status: BuildStatus, version: &str) -> Self {
        let data = json!({"status": status, "version": version});
        Self::about(EventKind::PackageUpdated, base, data)
    }

    /// A package is held, or released.
    pub fn held(base: &str, is_held: bool) -> Self {
        Self::about(EventKind::PackageHeld, base, json!({"is_held": is_held}))
    }

    /// A package is gone.
    pub fn removed(base: &str) -> Self {
        Self::about(EventKind::PackageRemoved, base, json!({}))
    }

    /// A line of a log came.
    pub fn log(base: &str, line: &LogRecord) -> Self {
        let data = json!({
            "created": line.created, "message": line.message, "version": line.version, "process_id": line.process_id,
        });
        Self::about(EventKind::BuildLog, base, data)
    }

    /// As it goes over the wire (the HTML standard, "Server-sent events"); nulls stay.
    pub fn frame(&self) -> String {
        format!("event: {}\r\ndata: {}\r\n\r\n", self.kind.name(), self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_end_their_lines_as_clients_saw_them_and_keep_nulls() {
        let frame = Told::service(BuildStatus::Building).frame();
        assert_eq!(
            frame,
            "event: service-status-changed\r\ndata: {\"object_id\":null,\"status\":\"building\"}\r\n\r\n"
        );
        let line = LogRecord {
            created: 1.5,
            message: "two\nlines".to_owned(),
            version: "1-1".to_owned(),
            process_id: None,
        };
        assert_eq!(
            Told::log("hello", &line).frame().lines().count(),
            3,
            "data is one line"
        );
    }

    #[test]
    fn only_logs_are_not_for_everybody_who_may_look() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(kind.name()), Some(kind));
            assert_eq!(kind.is_read_safe(), kind != EventKind::BuildLog);
        }
        assert_eq!(EventKind::parse("package"), None);
    }

    #[test]
    fn a_span_of_time_has_its_beginning_and_not_its_end() {
        let event: Event =
            serde_json::from_value(json!({"event": "x", "object_id": "a", "created": 5})).unwrap();
        let filter = |from_date, to_date| EventFilter {
            from_date,
            to_date,
            ..EventFilter::default()
        };
        assert!(filter(Some(5), Some(6)).takes(&event));
        assert!(!filter(None, Some(5)).takes(&event) && !filter(Some(6), None).takes(&event));
    }
}
