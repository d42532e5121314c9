//! One JSON object per line: the settings of the run, then each goal with what was measured against it.

use pacmesh_tests::cluster::binary;
use serde_json::{Value, json};

use crate::options::Options;

/// What was measured, all in one unit.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Adds one.
    pub(crate) fn add(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// The least sample that `share` of all do not exceed (nearest rank).
    fn percentile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    }
}

/// Which percentile a goal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The median.
    P50,
    /// Nearly the worst; with fewer than 100 samples the worst.
    P99,
}

/// A goal: not more than this.
pub(crate) struct Goal {
    pub(crate) which: Which,
    pub(crate) most: f64,
}

/// Prints one line for each goal; `baseline` is the same without the mishap, measured in the same run.
pub(crate) fn lines(name: &str, unit: &str, samples: &Samples, goals: &[Goal], baseline: Option<&Samples>) {
    let (p50, p99) = (samples.percentile(0.50), samples.percentile(0.99));
    for goal in goals {
        let (word, share, value) = match goal.which {
            Which::P50 => ("p50", 0.50, p50),
            Which::P99 => ("p99", 0.99, p99),
        };
        let calm = baseline.map(|calm| calm.percentile(share));
        say(&[
            ("bench", json!("survival")),
            ("name", json!(format!("{name}, {word}"))),
            ("value", rounded(value)),
            ("unit", json!(unit)),
            ("p50", rounded(p50)),
            ("p99", rounded(p99)),
            ("n", json!(samples.0.len())),
            ("baseline", calm.map_or(Value::Null, rounded)),
            ("ratio", calm.map_or(Value::Null, |calm| rounded(value / calm))),
            ("goal", json!(goal.most)),
            ("met", json!(value <= goal.most)),
            // Of the last minute, at the end of the measurement.
            ("load", json!(load())),
        ]);
    }
}

/// Prints what the numbers depend on.
pub(crate) fn settings(options: &Options) {
    let binary = binary();
    let profile = ["release", "debug"]
        .into_iter()
        .find(|profile| binary.components().any(|part| part.as_os_str() == *profile));
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    say(&[
        ("bench", json!("survival")),
        ("name", json!("settings")),
        ("trials", json!(options.trials)),
        ("others", json!(options.others)),
        (
            "cores",
            json!(std::thread::available_parallelism().map_or(0, usize::from)),
        ),
        ("load", json!(load())),
        ("binary", json!(binary.display().to_string())),
        ("profile", json!(profile)),
        ("kernel", json!(read("/proc/sys/kernel/osrelease").trim())),
    ]);
}

/// The load average of the last minute.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0.0)
}

fn rounded(value: f64) -> Value {
    json!((value * 1000.0).round() / 1000.0)
}

#[expect(clippy::print_stdout, reason = "the results are what this program is for")]
fn say(fields: &[(&str, Value)]) {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{}:{value}", json!(name)))
        .collect();
    println!("{{{}}}", fields.join(","));
}
