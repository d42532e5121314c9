//! Making connections: one attempt per node at a time, all its addresses in a staggered race, the greeting only with
//! the first that answers.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::FuturesUnordered};
use pacmesh_protocol::{entry::ALPN, ids::NodeId};
use quinn::Connection;

use super::{
    connection::Link,
    endpoint::Inner,
    error::{CloseCode, DialError, close},
    greeting,
};

/// The head start of each address over the next (RFC 8305, 5).
const HEAD_START: Duration = Duration::from_millis(250);

impl Inner {
    /// Dials `address`, where `expect` or anybody is supposed to be. A node that is connected already stays so.
    pub(crate) async fn dial(
        self: &Arc<Self>,
        expect: Option<NodeId>,
        address: SocketAddr,
    ) -> Result<NodeId, DialError> {
        if let Some(node) = expect {
            if self.peers().link(node).is_some() {
                return Ok(node);
            }
            self.check(node)?;
        }
        let (connection, peer) = self.endpoint.connect(address, expect, ALPN).await?;
        let lock = self.peers().dial_lock(peer);
        let guard = lock.lock_owned().await;
        let result = self.greet_as_dialler(connection, peer).await;
        drop(guard);
        self.peers().dialled(peer, None);
        result.map(|()| peer)
    }

    /// The connection to `node`; dials its known addresses if there is none.
    pub(crate) async fn link(self: &Arc<Self>, node: NodeId) -> Result<Arc<Link>, DialError> {
        if let Some(link) = self.peers().link(node) {
            return Ok(link);
        }
        self.check(node)?;
        let lock = self.peers().dial_lock(node);
        let guard = lock.lock_owned().await;
        let result = self.dial_known(node).await;
        drop(guard);
        // Only silence makes it rest: who refuses may think otherwise at once, and says so fast.
        let silent = matches!(
            result,
            Err(DialError::Silent { .. } | DialError::Unreachable { .. } | DialError::WrongKey { .. })
        );
        self.peers().dialled(node, silent.then(Instant::now));
        result?;
        self.peers().link(node).ok_or(DialError::Resting(node))
    }

    async fn dial_known(self: &Arc<Self>, node: NodeId) -> Result<(), DialError> {
        let route = {
            let peers = self.peers();
            if peers.link(node).is_some() {
                return Ok(());
            }
            peers.route(node, Instant::now())
        };
        if route.addresses.is_empty() {
            return Err(DialError::NoAddress(node));
        }
        if route.resting {
            return Err(DialError::Resting(node));
        }
        let connection = self.race(node, &route.addresses).await?;
        self.greet_as_dialler(connection, node).await
    }

    async fn race(&self, node: NodeId, addresses: &[SocketAddr]) -> Result<Connection, DialError> {
        let mut attempts: FuturesUnordered<_> = addresses
            .iter()
            .zip(0_u32..)
            .map(|(&address, number)| async move {
                tokio::time::sleep(HEAD_START * number).await;
                self.endpoint.connect(address, Some(node), ALPN).await
            })
            .collect();
        let mut last = DialError::NoAddress(node);
        while let Some(result) = attempts.next().await {
            match result {
                Ok((connection, _)) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn greet_as_dialler(
        self: &Arc<Self>,
        connection: Connection,
        peer: NodeId,
    ) -> Result<(), DialError> {
        if self.peers().link(peer).is_some() {
            close(&connection, CloseCode::Duplicate, "connected already");
            return Ok(());
        }
        if let Err(error) = self.check(peer) {
            close(&connection, CloseCode::Refused, "this node does not accept you");
            return Err(error);
        }
        let incarnation = greeting::dialler(&connection, peer, &*self.gate).await?;
        if self.enter(Link::new(connection, peer, true, incarnation)) {
            Ok(())
        } else {
            self.check(peer).and(Err(DialError::Stopping))
        }
    }

    fn check(&self, node: NodeId) -> Result<(), DialError> {
        if self.stop.is_cancelled() {
            return Err(DialError::Stopping);
        }
        if self.peers().is_barred(node) {
            return Err(DialError::Barred(node));
        }
        Ok(())
    }
}
