//! What others ask of the leading master: changes, admissions, pkgrels, reports, and what it knows of jobs.

use super::*;

impl Leader {
    pub(super) async fn hear(&mut self, message: LeaderMessage) {
        match message {
            LeaderMessage::Carry { from, carried, reply } => self.carry(from, carried, reply).await,
            LeaderMessage::Knock { knock, reply } => {
                let answer = entrants::admit(&self.rooms, self.reign, *knock).await;
                if let KnockReply::Admitted { record, .. } = &answer {
                    self.spread(record.clone());
                }
                let _ = reply.send(answer);
            }
            LeaderMessage::Prepared {
                worker,
                job,
                fence,
                version,
                reply,
            } => {
                // Whoever waited no longer was cut off or asks again.
                self.prepared.retain(|_, waiting| !waiting.is_closed());
                self.prepared.insert((job, fence), reply);
                self.pending.push_back(Input::Prepared {
                    worker,
                    job,
                    fence,
                    version,
                });
            }
            LeaderMessage::Report {
                worker,
                report,
                reply,
            } => {
                self.reports.retain(|_, waiting| !waiting.is_closed());
                self.reports.insert((worker, report.job, report.fence), reply);
                self.pending.push_back(Input::Report { worker, report });
            }
            LeaderMessage::JobStates { jobs, reply } => {
                let _ = reply.send(self.live_jobs(&jobs));
            }
            LeaderMessage::Copies { reply } => self.repair.ask(Ask::Standing { reply }),
            LeaderMessage::CopySole { node, reply } => self.repair.ask(Ask::CopySole { node, reply }),
        }
    }

    fn live_jobs(&self, jobs: &[JobId]) -> Vec<LiveJob> {
        let mut live = self.schedule.live_jobs(clock::now());
        if !jobs.is_empty() {
            live.retain(|job| jobs.contains(&job.job));
        }
        live
    }

    /// Judges who asks, and answers a request that was recorded before from the ledger.
    async fn carry(&mut self, from: NodeId, signed: Signed, reply: oneshot::Sender<CarriedReply>) {
        let carried = match self.open(from, &signed) {
            Ok(carried) => carried,
            Err(reason) => return answer(reply, CarriedReply::Refused { reason }),
        };
        let view = self.rooms.ledger.view();
        if let Some(known) = recorded(&self.rooms, &view, &carried.request).await {
            return self.answer_again(known, carried.origin, reply);
        }
        if let Err(reason) = changes::check_rights(&view, &carried.origin, &carried.body) {
            return answer(reply, CarriedReply::Refused { reason });
        }
        if let Change::Lead { node } = carried.body {
            return self.hand_over(node, reply);
        }
        if let Change::CancelJob { job } = carried.body {
            return self.cancel(job, carried.request, reply).await;
        }
        if matches!(carried.body, Change::Submit { .. }) {
            let (rooms, reign) = (self.rooms.clone(), self.reign);
            self.tasks.spawn(async move {
                let result = submit::probe(rooms, reign, from, carried).await.map(Box::new);
                Event::Submission { reply, result }
            });
            return;
        }
        if self.brings_blobs(&carried) {
            return self.fetch(from, carried, reply);
        }
        match changes::plan(&view, self.rooms.mesh, &carried.body, carried.request) {
            Ok(planned) => {
                self.record_change(planned.entries, planned.jobs, carried.request, None, reply)
                    .await;
            }
            Err(reason) => answer(reply, CarriedReply::Refused { reason }),
        }
    }

    /// Ends this reign in favour of `heir`. Nothing is recorded: asked again, the heir says that it leads.
    fn hand_over(&mut self, heir: NodeId, reply: oneshot::Sender<CarriedReply>) {
        if let Err(reason) = super::super::may_lead(&self.rooms, &heir) {
            return answer(reply, CarriedReply::Refused { reason });
        }
        let jobs = Vec::new();
        answer(reply, CarriedReply::Accepted { jobs, copies: 0 });
        if heir == self.rooms.node {
            return;
        }
        let rooms = self.rooms.clone();
        // The driver that hears it waits for the end of this loop.
        self.tasks.spawn(async move {
            rooms.master.abdicate(Some(heir)).await;
            Event::Nothing
        });
    }

    fn open(&self, from: NodeId, signed: &Signed) -> Result<Carried, String> {
        let unreadable = |_| "a request that cannot be read: update pacmesh on both machines".to_owned();
        let carried: Carried = signed.peek(FRAME_LIMIT).map_err(unreadable)?;
        signed
            .check(
                Purpose::Carried,
                &self.rooms.mesh,
                carried.origin.as_bytes(),
                &Ed25519Verifier,
            )
            .map_err(|_| {
                format!(
                    "a request whose signature does not fit, brought by {}",
                    from.short()
                )
            })?;
        if carried.deadline_ms.saturating_add(CLOCK_TOLERANCE_MS) < clock::wall_ms() {
            return Err(
                "the request is too old: check the clocks of both machines, and ask again".to_owned(),
            );
        }
        Ok(carried)
    }

    pub(super) async fn accept(
        &mut self,
        reply: oneshot::Sender<CarriedReply>,
        result: Result<Box<Probed>, String>,
    ) {
        let probed = match result {
            Ok(probed) => probed,
            Err(reason) => return answer(reply, CarriedReply::Refused { reason }),
        };
        self.tell_view().await;
        self.drain().await;
        let view = self.rooms.ledger.view();
        // The same request may have come twice, and the other one was probed sooner.
        if let Some(known) = recorded(&self.rooms, &view, &probed.carried.request).await {
            return self.answer_again(known, probed.carried.origin, reply);
        }
        let mut catalogs = BTreeMap::new();
        for arch in Settings(&view).arches(&probed.repository) {
            let catalog = self
                .catalogs
                .catalog(&self.rooms, &view, &probed.repository, &arch)
                .await;
            catalogs.insert(arch, catalog);
        }
        match submit::accept(&self.rooms, &view, &self.schedule, &probed, &catalogs) {
            Ok(accepted) => {
                let Change::Submit { sources, .. } = &probed.carried.body else {
                    return;
                };
                for (source, probes) in sources.iter().zip(&probed.probes) {
                    for (arch, probe) in probes {
                        self.probes.insert((source.tree, arch.clone()), probe.clone());
                    }
                }
                let request = probed.carried.request;
                self.record_change(
                    accepted.entries,
                    accepted.jobs,
                    request,
                    Some(probed.copies),
                    reply,
                )
                .await;
            }
            Err(reason) => answer(reply, CarriedReply::Refused { reason }),
        }
    }

    /// Writes what a change brings, and answers when enough replicas have it.
    pub(super) async fn record_change(
        &mut self,
        entries: Vec<Entry>,
        jobs: Vec<AcceptedJob>,
        request: RequestId,
        holders: Option<copies::Copies>,
        reply: oneshot::Sender<CarriedReply>,
    ) {
        if entries.is_empty() {
            let copies = holders.map_or(0, |holders| holders.holders.len() as u32);
            return answer(reply, CarriedReply::Accepted { jobs, copies });
        }
        let record = match self.write(entries, Some(request)).await {
            Ok(record) => record,
            Err(error) => {
                return answer(
                    reply,
                    CarriedReply::Refused {
                        reason: chain(&error),
                    },
                );
            }
        };
        self.answer_when_copied(record, jobs, holders, reply);
    }

    /// A request that was recorded before: its answer waits for copies as the first one did, sources included, which
    /// may have been on their way when the master changed.
    pub(super) fn answer_again(
        &mut self,
        known: Recorded,
        origin: NodeId,
        reply: oneshot::Sender<CarriedReply>,
    ) {
        let rooms = self.rooms.clone();
        self.tasks.spawn(async move {
            let holders = copies::keep(&rooms, known.sources, vec![origin]).await;
            let copies = copies::replicate(&rooms, &known.record, &holders).await;
            let jobs = known.jobs;
            answer(reply, CarriedReply::Accepted { jobs, copies });
            Event::Nothing
        });
    }

    pub(super) fn answer_when_copied(
        &mut self,
        record: Record,
        jobs: Vec<AcceptedJob>,
        holders: Option<copies::Copies>,
        reply: oneshot::Sender<CarriedReply>,
    ) {
        let rooms = self.rooms.clone();
        self.tasks.spawn(async move {
            let holders = match holders {
                Some(holders) => holders,
                // Nothing but the record itself needs keeping: every replica will do.
                None => copies::keep(&rooms, Vec::new(), Vec::new()).await,
            };
            let copies = copies::replicate(&rooms, &record, &holders).await;
            answer(reply, CarriedReply::Accepted { jobs, copies });
            Event::Nothing
        });
    }

    pub(super) fn spread(&mut self, record: Signed) {
        for peer in self.rooms.transport.connected() {
            let (rooms, record) = (self.rooms.clone(), record.clone());
            self.tasks.spawn(async move {
                let push = Request::Push {
                    records: vec![record],
                };
                if let Err(error) = rooms.ask(peer, push, ORDER_WAIT).await {
                    tracing::debug!(peer = %peer.short(), error, "a push was not acknowledged");
                }
                Event::Nothing
            });
        }
    }
}

/// What some master wrote for a request before.
pub(super) struct Recorded {
    record: Record,
    jobs: Vec<AcceptedJob>,
    /// What is needed to build what was queued.
    sources: Vec<Digest>,
}

pub(super) async fn recorded(rooms: &Rooms, view: &View, request: &RequestId) -> Option<Recorded> {
    let hash = *view.request(request)?;
    let signed = rooms.ledger.pull(vec![hash]).await.ok()?.into_iter().next()?;
    let record = Record::trusted(signed).ok()?;
    let (mut jobs, mut sources) = (Vec::new(), BTreeSet::new());
    for entry in &record.body().entries {
        let Fact::Job(job, value) = Fact::read(entry) else {
            continue;
        };
        let is_open = view.job(&job).is_some_and(|now| now.state == JobState::Queued);
        if value.state == JobState::Queued && is_open {
            sources.extend([value.tree, value.makepkg_conf]);
        }
        jobs.push(AcceptedJob {
            job,
            base: value.base,
            known: true,
        });
    }
    Some(Recorded {
        record,
        jobs,
        sources: sources.into_iter().collect(),
    })
}
