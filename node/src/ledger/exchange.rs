//! Two ledgers become equal: compare trees, pull what we lack, push what they lack. A peer's reply costs bounded
//! memory and is believed only as far as it answers the question; each record is verified like any other.

use std::collections::{BTreeSet, VecDeque};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use pacmesh_protocol::{
    ids::{Digest, RecordHash},
    wire::{HASH_BATCH, RECORD_BATCH, RECORD_BATCH_BYTES, Reply, Request},
};

use super::{
    LedgerHandle, MergeSummary,
    error::{LedgerError, chain},
};

/// Most bytes of records pulled in one run (FORMATS, "Exchange and retention"); the next run goes on.
const RUN_BYTES: usize = 64 << 20;
/// Most records pulled or pushed in one run: 64 MiB of records of 256 bytes, 8 MiB of hashes.
const RUN_RECORDS: usize = 1 << 18;
/// Questions about the tree under way at once: a quarter of a peer's streams.
const QUESTIONS: usize = 16;
/// Most reasons that a summary holds.
const REASONS: usize = 16;
/// Most characters of a reason in a reply (`Reply::Refused`).
const REASON: usize = 500;

/// Somebody who answers requests: a connection, or another ledger in a test.
#[async_trait]
pub trait Peer: Send + Sync {
    /// Asks and waits for the answer, as long as the transport allows.
    async fn request(&self, request: Request) -> Result<Reply, String>;
}

/// What a run brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExchangeSummary {
    /// Records that are new here.
    pub pulled: usize,
    /// Records that the peer was sent and has synced.
    pub pushed: usize,
    /// Records of the peer whose authors are not known here as ones who may write them.
    pub skipped: usize,
    /// Why some were refused, on either side; at most 16 reasons.
    pub refused: Vec<String>,
}

impl ExchangeSummary {
    /// Whether it ended as it began although the ledgers differ: one side does not take what the other has.
    pub fn is_fruitless(&self) -> bool {
        self.pulled + self.pushed == 0 && (self.skipped > 0 || !self.refused.is_empty())
    }
}

/// Why a run ended early; what was merged until then stays.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The peer does not answer.
    #[error("the peer did not answer: {0}")]
    Peer(String),
    /// The peer answers something else than was asked, or more.
    #[error("the peer broke a rule of the exchange: {0}")]
    Rule(&'static str),
    /// Our own ledger.
    #[error("the exchange ended because of this node's ledger")]
    Ledger(#[from] LedgerError),
}

/// Compares with a peer, pulls what is lacking here, pushes what is lacking there.
pub async fn exchange(ledger: &LedgerHandle, peer: &dyn Peer) -> Result<ExchangeSummary, ExchangeError> {
    let mut summary = ExchangeSummary::default();
    let difference = compare(ledger, peer).await?;
    pull_all(ledger, peer, difference.lacking_here, &mut summary).await?;
    push(ledger, peer, difference.lacking_there, &mut summary).await?;
    summary.refused.truncate(REASONS);
    Ok(summary)
}

/// Serves a peer's exchange; `None` for requests that are none of the ledger's.
pub async fn answer(ledger: &LedgerHandle, request: &Request) -> Option<Reply> {
    let reply = match request {
        Request::TreeTop => ledger.tree_top().await.map(|children| Reply::Tree { children }),
        Request::TreeBranch { first } => ledger
            .tree_branch(*first)
            .await
            .map(|children| Reply::Tree { children }),
        Request::TreeLeaf { first, second } => ledger
            .tree_leaf(*first, *second)
            .await
            .map(|hashes| Reply::Hashes { hashes }),
        Request::Unread => ledger.unread().await.map(|mut hashes| {
            hashes.truncate(HASH_BATCH);
            Reply::Hashes { hashes }
        }),
        Request::Pull { hashes } if hashes.len() > HASH_BATCH => {
            Ok(refused("more than 8,192 hashes in one pull"))
        }
        Request::Pull { hashes } => ledger
            .pull(hashes.clone())
            .await
            .map(|records| Reply::Records { records }),
        Request::Push { records } if records.len() > RECORD_BATCH => {
            Ok(refused("more than 256 records in one push"))
        }
        Request::Push { records } => ledger
            .merge(records.clone())
            .await
            .map(|summary| acknowledgement(&summary)),
        _ => return None,
    };
    Some(reply.unwrap_or_else(|error| refused(&chain(&error))))
}

/// Only what is kept is acknowledged: the sender may count a copy.
fn acknowledgement(summary: &MergeSummary) -> Reply {
    match (summary.refused.first(), summary.skipped.len()) {
        (Some(reason), _) => refused(reason),
        (None, 0) => Reply::Done,
        (None, skipped) => refused(&format!(
            "{skipped} records of nodes that are not known here as masters, who alone write: their admissions must come first"
        )),
    }
}

fn refused(reason: &str) -> Reply {
    Reply::Refused {
        reason: reason.chars().take(REASON).collect(),
    }
}

#[derive(Debug, Default)]
struct Difference {
    lacking_here: Vec<RecordHash>,
    lacking_there: Vec<RecordHash>,
}

async fn compare(ledger: &LedgerHandle, peer: &dyn Peer) -> Result<Difference, ExchangeError> {
    let theirs = tree(peer, Request::TreeTop).await?;
    let firsts = differing(&ledger.tree_top().await?, &theirs);
    let places: Vec<Vec<(u8, u8)>> = stream::iter(firsts)
        .map(|first| async move {
            let theirs = tree(peer, Request::TreeBranch { first }).await?;
            let ours = ledger.tree_branch(first).await?;
            let seconds = differing(&ours, &theirs);
            Ok::<_, ExchangeError>(seconds.into_iter().map(|second| (first, second)).collect())
        })
        .buffered(QUESTIONS)
        .try_collect()
        .await?;
    let mut leaves = stream::iter(places.into_iter().flatten())
        .map(|(first, second)| compare_leaf(ledger, peer, first, second))
        .buffered(QUESTIONS);
    let mut all = Difference::default();
    while let Some(part) = leaves.try_next().await? {
        all.lacking_here.extend(part.lacking_here);
        all.lacking_there.extend(part.lacking_there);
        if all.lacking_here.len().max(all.lacking_there.len()) >= RUN_RECORDS {
            break;
        }
    }
    all.lacking_here.truncate(RUN_RECORDS);
    all.lacking_there.truncate(RUN_RECORDS);
    Ok(all)
}

async fn compare_leaf(
    ledger: &LedgerHandle,
    peer: &dyn Peer,
    first: u8,
    second: u8,
) -> Result<Difference, ExchangeError> {
    let theirs = match ask(peer, Request::TreeLeaf { first, second }).await? {
        Reply::Hashes { hashes } => hashes,
        _ => return Err(ExchangeError::Rule("a leaf of the tree is not a list of hashes")),
    };
    if theirs.len() > HASH_BATCH {
        return Err(ExchangeError::Rule(
            "a leaf of the tree has more than 8,192 hashes",
        ));
    }
    if theirs.iter().any(|hash| hash.0[..2] != [first, second]) {
        return Err(ExchangeError::Rule(
            "a leaf of the tree names hashes of another leaf",
        ));
    }
    let theirs: BTreeSet<_> = theirs.into_iter().collect();
    let ours: BTreeSet<_> = ledger.tree_leaf(first, second).await?.into_iter().collect();
    Ok(Difference {
        lacking_here: theirs.difference(&ours).copied().collect(),
        lacking_there: ours.difference(&theirs).copied().collect(),
    })
}

/// Pulls what is lacking; records that came before the admission of their author once more, while that helps.
async fn pull_all(
    ledger: &LedgerHandle,
    peer: &dyn Peer,
    mut lacking: Vec<RecordHash>,
    summary: &mut ExchangeSummary,
) -> Result<(), ExchangeError> {
    let mut budget = RUN_BYTES;
    loop {
        let asked = lacking.len();
        lacking = pull(ledger, peer, lacking, &mut budget, summary).await?;
        if lacking.is_empty() || lacking.len() >= asked {
            summary.skipped = lacking.len();
            return Ok(());
        }
    }
}

/// Returns the hashes of those that were skipped.
async fn pull(
    ledger: &LedgerHandle,
    peer: &dyn Peer,
    lacking: Vec<RecordHash>,
    budget: &mut usize,
    summary: &mut ExchangeSummary,
) -> Result<Vec<RecordHash>, ExchangeError> {
    let mut lacking = VecDeque::from(lacking);
    let mut skipped = Vec::new();
    while !lacking.is_empty() && *budget > 0 {
        let asked: Vec<_> = lacking.drain(..lacking.len().min(RECORD_BATCH)).collect();
        let records = match ask(
            peer,
            Request::Pull {
                hashes: asked.clone(),
            },
        )
        .await?
        {
            Reply::Records { records } => records,
            _ => {
                return Err(ExchangeError::Rule(
                    "the answer to a pull is not a list of records",
                ));
            }
        };
        let bytes: usize = records.iter().map(|signed| signed.body.len()).sum();
        if records.len() > asked.len() || bytes > RECORD_BATCH_BYTES {
            return Err(ExchangeError::Rule("more records than were asked for"));
        }
        let mut open: BTreeSet<_> = asked.iter().copied().collect();
        for signed in &records {
            if !open.remove(&RecordHash::of(&signed.body)) {
                return Err(ExchangeError::Rule("a record that was not asked for"));
            }
        }
        // What a whole empty answer leaves open is held there no longer.
        if !records.is_empty() {
            open.into_iter().rev().for_each(|hash| lacking.push_front(hash));
        }
        *budget = budget.saturating_sub(bytes);
        let merged = ledger.merge(records).await?;
        summary.pulled += merged.added.len();
        skipped.extend(merged.skipped);
        note(summary, merged.refused);
    }
    Ok(skipped)
}

async fn push(
    ledger: &LedgerHandle,
    peer: &dyn Peer,
    lacking: Vec<RecordHash>,
    summary: &mut ExchangeSummary,
) -> Result<(), ExchangeError> {
    let mut lacking = VecDeque::from(lacking);
    while !lacking.is_empty() {
        let batch: Vec<_> = lacking.iter().take(RECORD_BATCH).copied().collect();
        let records = ledger.pull(batch.clone()).await?;
        let sent: BTreeSet<_> = records
            .iter()
            .map(|signed| RecordHash::of(&signed.body))
            .collect();
        let held = batch.len();
        lacking.drain(..held);
        if sent.is_empty() {
            continue;
        }
        // Records that did not fit the frame follow the last one that did; earlier gaps were dropped meanwhile.
        let end = batch
            .iter()
            .rposition(|hash| sent.contains(hash))
            .map_or(held, |last| last + 1);
        batch[end..]
            .iter()
            .rev()
            .for_each(|hash| lacking.push_front(*hash));
        match ask(peer, Request::Push { records }).await? {
            Reply::Done => summary.pushed += sent.len(),
            Reply::Refused { reason } => note(summary, vec![reason.chars().take(REASON).collect()]),
            _ => return Err(ExchangeError::Rule("the answer to a push is none")),
        }
    }
    Ok(())
}

fn note(summary: &mut ExchangeSummary, reasons: Vec<String>) {
    let room = REASONS.saturating_sub(summary.refused.len());
    summary.refused.extend(reasons.into_iter().take(room));
}

async fn tree(peer: &dyn Peer, request: Request) -> Result<Vec<Digest>, ExchangeError> {
    match ask(peer, request).await? {
        Reply::Tree { children } if children.len() == 256 => Ok(children),
        _ => Err(ExchangeError::Rule(
            "a level of the tree does not have 256 digests",
        )),
    }
}

async fn ask(peer: &dyn Peer, request: Request) -> Result<Reply, ExchangeError> {
    peer.request(request).await.map_err(ExchangeError::Peer)
}

fn differing(ours: &[Digest], theirs: &[Digest]) -> Vec<u8> {
    (0..=u8::MAX)
        .zip(ours.iter().zip(theirs))
        .filter_map(|(at, (ours, theirs))| (ours != theirs).then_some(at))
        .collect()
}
