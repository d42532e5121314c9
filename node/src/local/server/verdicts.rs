//! Suspending, revoking, reinstating: words about a member, written where they are typed.

use std::sync::Arc;

use super::mesh;
use crate::{clock, rooms::Rooms};
use pacmesh_protocol::{
    ids::NodeId,
    ledger::{
        kinds::{Ruling, Value, VerdictStatementV1, VerdictV1},
        member::{Member, Standing},
        record::Position,
        view::View,
    },
    roles::Role,
};

/// Most admissions that a verdict lists (FORMATS, "Admission, seats and verdicts").
const STANDING_LIMIT: usize = 256;

/// Cuts a member off until it is reinstated; of one that is, it withdraws what it made since an earlier time.
pub(super) async fn suspend(
    rooms: &Arc<Rooms>,
    subject: NodeId,
    quarantine_since_ms: Option<u64>,
) -> Result<(), String> {
    let view = rooms.ledger.view();
    let member = judged(rooms, &view, &subject)?;
    match member.standing {
        Standing::Suspended if widens(member, quarantine_since_ms) => {}
        Standing::Suspended => {
            return Err(match member.quarantine_since_ms {
                None => format!("{} is suspended already: see 'pacmesh nodes'", member.name),
                Some(since) => format!(
                    "{} is suspended already, with a quarantine since {}: name an earlier time to widen it",
                    member.name,
                    clock::rfc3339(since)
                ),
            });
        }
        Standing::Revoked => {
            return Err(format!(
                "{0} is revoked already: 'pacmesh node revoke {0} --quarantine SINCE' withdraws what it made",
                member.name
            ));
        }
        Standing::Active | Standing::Left => {}
    }
    may_suspend(&view, &rooms.node, member)?;
    let (seen, lifted) = view.verdict(&subject);
    let verdict = VerdictV1 {
        ruling: Ruling::Suspended {
            generation: if lifted { seen.saturating_add(1) } else { seen },
        },
        cut: cut(&view, member),
        standing: standing(&view, member)?,
        quarantine_since_ms,
    };
    say(rooms, &subject, verdict).await
}

/// Any member with the role master, about whoever is no master senior to it.
fn may_suspend(view: &View, own: &NodeId, subject: &Member) -> Result<(), String> {
    let own = view
        .member(own)
        .filter(|own| own.is_active() && own.roles.has(Role::Master))
        .ok_or("this machine may not suspend: type it on one with the role master ('pacmesh nodes')")?;
    let senior = (subject.seat, subject.id) < (own.seat, own.id);
    if subject.roles.has(Role::Master) && senior {
        return Err(format!(
            "{0} is senior to this machine: use 'pacmesh node revoke {0} --authority FILE' where the authority key is",
            subject.name
        ));
    }
    Ok(())
}

/// Where a member's word ends: what an earlier verdict voided stays void.
fn cut(view: &View, member: &Member) -> Option<Position> {
    if member.is_cut_off() {
        member.cut
    } else {
        view.greatest_position(&member.id)
    }
}

/// Whether a quarantine withdraws more of a member than is withdrawn.
fn widens(member: &Member, quarantine_since_ms: Option<u64>) -> bool {
    let known = member.quarantine_since_ms;
    quarantine_since_ms.is_some_and(|since| known.is_none_or(|known| since < known))
}

/// Revokes by the authority's word; its key is in this home, or came along as the text of its file.
pub(super) async fn revoke(
    rooms: &Arc<Rooms>,
    subject: NodeId,
    key: Option<String>,
    quarantine_since_ms: Option<u64>,
) -> Result<(), String> {
    let view = rooms.ledger.view();
    let member = judged(rooms, &view, &subject)?;
    if member.standing == Standing::Revoked && !widens(member, quarantine_since_ms) {
        return Err(format!("{} is revoked already: see 'pacmesh nodes'", member.name));
    }
    let statement = VerdictStatementV1 {
        subject,
        revoked: true,
        generation: 0,
        cut: cut(&view, member),
        standing: standing(&view, member)?,
        quarantine_since_ms,
    };
    rule(rooms, statement, key).await
}

/// Lifts a suspension by the authority's word, and with it a quarantine.
pub(super) async fn reinstate(
    rooms: &Arc<Rooms>,
    subject: NodeId,
    key: Option<String>,
) -> Result<(), String> {
    let view = rooms.ledger.view();
    let statement = reinstatement(&view, judged(rooms, &view, &subject)?)?;
    rule(rooms, statement, key).await
}

async fn rule(rooms: &Arc<Rooms>, statement: VerdictStatementV1, key: Option<String>) -> Result<(), String> {
    let authority = mesh::authority(rooms, key).await?;
    let signed = authority.rule(&statement).map_err(|error| error.to_string())?;
    let ruling = if statement.revoked {
        Ruling::Revoked { statement: signed }
    } else {
        Ruling::Reinstated {
            generation: statement.generation,
            statement: signed,
        }
    };
    let VerdictStatementV1 {
        subject,
        cut,
        standing,
        quarantine_since_ms,
        ..
    } = statement;
    say(
        rooms,
        &subject,
        VerdictV1 {
            ruling,
            cut,
            standing,
            quarantine_since_ms,
        },
    )
    .await
}

fn reinstatement(view: &View, member: &Member) -> Result<VerdictStatementV1, String> {
    match member.standing {
        Standing::Suspended => {}
        Standing::Revoked => {
            return Err(format!(
                "{} is revoked, which is for ever: have it join again with a new key",
                member.name
            ));
        }
        Standing::Active | Standing::Left => return Err(format!("{} is not suspended", member.name)),
    }
    let (seen, _) = view.verdict(&member.id);
    Ok(VerdictStatementV1 {
        subject: member.id,
        revoked: false,
        generation: seen.saturating_add(1),
        cut: None,
        standing: Vec::new(),
        quarantine_since_ms: None,
    })
}

fn judged<'a>(rooms: &Rooms, view: &'a View, subject: &NodeId) -> Result<&'a Member, String> {
    if *subject == rooms.node {
        return Err("that is this machine itself: 'pacmesh leave' takes it out of the mesh".to_owned());
    }
    view.member(subject).ok_or_else(|| {
        format!(
            "{} is not a node of this mesh: see 'pacmesh nodes'",
            subject.short()
        )
    })
}

/// The admissions by a master that stand when it falls.
fn standing(view: &View, subject: &Member) -> Result<Vec<NodeId>, String> {
    if !subject.roles.has(Role::Master) {
        return Ok(Vec::new());
    }
    let admitted: Vec<NodeId> = view
        .members()
        .filter(|member| member.admitted_by == subject.id && member.id != subject.id)
        .map(|member| member.id)
        .collect();
    if admitted.len() > STANDING_LIMIT {
        return Err(format!(
            "{} admitted more than {STANDING_LIMIT} machines: too many for a verdict",
            subject.name
        ));
    }
    Ok(admitted)
}

async fn say(rooms: &Arc<Rooms>, subject: &NodeId, verdict: VerdictV1) -> Result<(), String> {
    let entry = verdict.entry(subject).map_err(|error| error.to_string())?;
    mesh::record(rooms, entry).await
}
