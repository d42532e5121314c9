//! Replays the world of one seed, step by step: `replay --seed N [--planted BUG]`.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use pacmesh_tests::sim::{self, Planted};

fn main() -> anyhow::Result<()> {
    let (seed, planted) = arguments(std::env::args().skip(1))?;
    let mut out = std::io::stdout().lock();
    let (result, log) = sim::replay(seed, planted);
    for line in log {
        writeln!(out, "{line}")?;
    }
    let summary = result?;
    writeln!(out, "seed {seed}: {summary:?}")?;
    Ok(())
}

fn arguments(mut words: impl Iterator<Item = String>) -> anyhow::Result<(u64, Planted)> {
    let (mut seed, mut planted) = (None, Planted::Nothing);
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--seed" => seed = Some(value.parse().with_context(|| format!("'{value}' is no seed"))?),
            "--planted" => planted = value.parse()?,
            _ => bail!("unknown argument '{word}': replay --seed N [--planted BUG]"),
        }
    }
    Ok((seed.context("which world? replay --seed N")?, planted))
}
