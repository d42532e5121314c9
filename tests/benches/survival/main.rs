//! How fast the farm survives: real processes, killed and cut off, and what the others need to go on.
//!
//! `cargo bench -p pacmesh-tests --bench survival -- [--trials N] [--others N] [NAME]...` prints one JSON object per
//! line: first the settings of the run, then a line for each goal. NAMEs pick measurements (`takeover`, `worker`,
//! `start`, `heal`, `idle`). `PACMESH_BENCH_TRIALS` is the default of `--trials`, else 50. A missed goal is told
//! (`"met": false`), not failed: the machine may be busy. The binary is `PACMESH_BIN`, else the nearest `pacmesh` in `target`.

mod heal;
mod idle;
mod logs;
mod options;
mod report;
mod start;
mod takeover;
mod worker;

use options::Options;

fn main() {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("survival: {reason}");
            std::process::exit(2);
        }
    };
    report::settings(&options);
    for (name, measure) in [
        ("takeover", takeover::measure as fn(&Options)),
        ("worker", worker::measure),
        ("start", start::measure),
        ("heal", heal::measure),
        ("idle", idle::measure),
    ] {
        if options.wants(name) {
            measure(&options);
        }
    }
}
