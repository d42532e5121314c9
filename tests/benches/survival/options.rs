//! What is measured, and how often.

/// Trials of each measurement that say something about its 99th percentile.
const TRIALS: usize = 50;
/// Nodes that have to learn of one that starts.
const OTHERS: usize = 20;

/// As typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// How often each is measured.
    pub(crate) trials: usize,
    /// How many nodes have to learn of one that starts.
    pub(crate) others: usize,
    names: Vec<String>,
}

impl Options {
    /// Reads arguments; those that cargo adds are passed over.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let set = std::env::var("PACMESH_BENCH_TRIALS").ok();
        let mut options = Self {
            trials: set.map_or(Ok(TRIALS), |text| number("PACMESH_BENCH_TRIALS", Some(text)))?,
            others: OTHERS,
            names: Vec::new(),
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => {}
                "--trials" => options.trials = number("--trials", words.next())?,
                "--others" => options.others = number("--others", words.next())?,
                flag if flag.starts_with('-') => {
                    return Err(format!(
                        "'{flag}' is not known: [--trials N] [--others N] [NAME]..."
                    ));
                }
                _ => options.names.push(word),
            }
        }
        Ok(options)
    }

    /// Whether a measurement was asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| name.contains(wanted.as_str()))
    }
}

fn number(name: &str, text: Option<String>) -> Result<usize, String> {
    text.and_then(|text| text.parse().ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("{name} needs a number above 0"))
}
