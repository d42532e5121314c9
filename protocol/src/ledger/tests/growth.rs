//! What a farm leaves behind that builds day after day: what the horizon passed, and bindings, which are for ever.

use super::world::*;
use crate::ledger::{
    Ledger, horizon,
    kinds::{JobState, Value},
    record::Entry,
};

const BASES: u64 = 5;
const JOBS_A_DAY: u64 = 8;
const REMEMBERED: u32 = 10;

/// The founder accepts and ends jobs, publishes generations, and raises the horizon, for so many days.
fn work(world: &mut World, ledger: &mut Ledger, days: std::ops::Range<u32>) {
    for day in days {
        for number in 0..JOBS_A_DAY {
            let serial = u64::from(day) * JOBS_A_DAY + number;
            let base = format!("base{}", serial % BASES);
            let version = format!("{serial}-1");
            let id = crate::ids::JobId(crate::ids::Digest::of(&serial.to_le_bytes()).0);
            let job = |state| -> Entry {
                let mut value = job_value(0, state);
                value.day = day;
                value.entry(&id).unwrap()
            };
            let queued = [job(JobState::Queued), source(serial, false)];
            ledger.merge(world.write(0, queued));
            let end = if number == 0 {
                vec![job(failed())]
            } else {
                vec![
                    job(JobState::Published),
                    binding(&base, &version, version.as_bytes()),
                    package(&base, 0, Some(&version)),
                ]
            };
            ledger.merge(world.write(0, end));
            ledger.merge(world.write(0, [generation(serial + 1)]));
        }
        ledger.merge(world.write(0, [setting("x", u64::from(day), "")]));
        ledger.merge(world.write(0, [edit(0, u64::from(day), crate::roles::Roles::PEER, false)]));
        let wished = day.saturating_sub(REMEMBERED);
        if let Some(day) = ledger.view().horizon_up_to(wished) {
            ledger.merge(world.write(0, [horizon::raise(day).unwrap()]));
        }
    }
}

fn binding_records(ledger: &Ledger) -> usize {
    let binds = |entry: &Entry| entry.kind == crate::ledger::kinds::Kind::Binding as u16;
    ledger
        .records()
        .filter(|record| record.body().entries.iter().any(binds))
        .count()
}

#[test]
fn inv8_a_farm_that_builds_for_months_keeps_no_more_than_the_horizon_and_the_bindings() {
    let (mut world, mut ledger) = (World::with_masters(1), empty());
    ledger.merge(world.records[0].clone());
    let mut rest = Vec::new();
    for month in 0..4 {
        work(&mut world, &mut ledger, month * 30..(month + 1) * 30);
        rest.push(ledger.records().count() - binding_records(&ledger));
        let jobs = ledger.view().jobs().count();
        assert_eq!(
            jobs as u64,
            u64::from(REMEMBERED + 1) * JOBS_A_DAY,
            "in month {month}"
        );
    }
    assert_eq!(
        rest[1..],
        [rest[1]; 3],
        "records beside those that bind names: {rest:?}"
    );
    // Every published name is bound for ever, by the one record that published it.
    assert_eq!(binding_records(&ledger) as u64, 120 * (JOBS_A_DAY - 1));
}
