//! Counters of requests, and how the mesh stands, for Prometheus (OpenMetrics 1.0).

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::http::{HeaderValue, StatusCode, header};
use pacmesh_protocol::ledger::kinds::JobState;

use super::{
    answer::{Answer, Outcome},
    call::Call,
};

const TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// A route and a status, as keys of what is counted.
type Met = (&'static str, u16);

/// How often what was answered, and how long it took. Routes are few, so is what is remembered.
#[derive(Debug, Default)]
pub(super) struct Meters {
    /// Held for a sum only, never over an await.
    requests: Mutex<BTreeMap<Met, (u64, Duration)>>,
}

impl Meters {
    /// Counts an answer.
    pub(super) fn count(&self, route: &'static str, status: u16, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, sum) = requests.entry((route, status)).or_default();
        *count += 1;
        *sum += took;
    }

    fn write(&self, text: &mut String) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str("# TYPE pacmesh_http_requests counter\n");
        for ((route, status), (count, _)) in requests.iter() {
            let _ = writeln!(
                text,
                "pacmesh_http_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}"
            );
        }
        text.push_str(
            "# TYPE pacmesh_http_request_seconds summary\n# UNIT pacmesh_http_request_seconds seconds\n",
        );
        for ((route, status), (count, sum)) in requests.iter() {
            let labels = format!("{{route=\"{route}\",status=\"{status}\"}}");
            let _ = writeln!(
                text,
                "pacmesh_http_request_seconds_sum{labels} {}",
                sum.as_secs_f64()
            );
            let _ = writeln!(text, "pacmesh_http_request_seconds_count{labels} {count}");
        }
    }
}

pub(super) fn get(call: Call) -> Outcome {
    let view = call.view();
    let mut text = String::new();
    call.door.meters.write(&mut text);
    let mut jobs = BTreeMap::from([("queued", 0), ("published", 0), ("failed", 0), ("cancelled", 0)]);
    for (_, job) in view.jobs() {
        let state = match job.state {
            JobState::Queued => "queued",
            JobState::Published => "published",
            JobState::Failed { .. } => "failed",
            JobState::Cancelled => "cancelled",
        };
        *jobs.entry(state).or_insert(0_u64) += 1;
    }
    text.push_str("# TYPE pacmesh_jobs gauge\n");
    for (state, count) in jobs {
        let _ = writeln!(text, "pacmesh_jobs{{state=\"{state}\"}} {count}");
    }
    let members = view.members().filter(|member| member.is_active()).count();
    let packages = view.all_releases().count();
    let leads = u8::from(call.door.rooms.master.leadership().master() == Some(call.door.rooms.node));
    for (name, value) in [
        ("members", members as u64),
        ("packages", packages as u64),
        ("leads", leads.into()),
    ] {
        let _ = writeln!(text, "# TYPE pacmesh_{name} gauge\npacmesh_{name} {value}");
    }
    text.push_str("# EOF\n");
    Ok(Answer::text(StatusCode::OK, text).with(header::CONTENT_TYPE, TYPE))
}
