//! The first words on a connection: each side shows a [`Hello`], each decides, nothing else is read before.
//!
//! The dialler opens the only stream that is allowed and speaks first; the listener judges it and answers with its own
//! hello or a refusal; the dialler judges that and says so. A dialler therefore knows itself connected only after the
//! listener has judged it (TLS 1.3 alone would not tell).

use std::time::Duration;

use pacmesh_protocol::{
    entry::{CREDENTIAL_LIMIT, Hello},
    ids::{Incarnation, NodeId},
};
use quinn::{Connection, RecvStream, SendStream};
use serde::{Deserialize, Serialize};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout, timeout_at},
};

use super::{
    Gate,
    error::{CloseCode, DialError, close, last_words, shorten},
};
use crate::frame::{FrameError, encode_frame, expect_frame};

/// How long a stranger has from its first packet to the end of its hello (FORMATS, "Numbers").
pub(crate) const STRANGER: Duration = Duration::from_secs(3);
/// How long the dialler waits for the verdict of the listener, which may have to write records.
const VERDICT: Duration = Duration::from_secs(5);
/// How long a refusal may take to arrive before the connection is closed.
const REFUSAL: Duration = Duration::from_secs(1);
/// Greatest length of a greeting: a credential and some fixed fields, in bytes.
const LIMIT: usize = CREDENTIAL_LIMIT + 1024;
/// Greatest length of a reason, in bytes.
const REASON: usize = 500;

/// What either side says before they are connected.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Greeting {
    /// Who I am.
    Hello(Box<Hello>),
    /// You may not.
    Refused {
        /// For people.
        reason: String,
    },
    /// You may: the dialler's last word.
    Admitted,
}

/// Greets as the dialler; answers with the life of the peer.
pub(crate) async fn dialler(
    connection: &Connection,
    peer: NodeId,
    gate: &dyn Gate,
) -> Result<Incarnation, DialError> {
    let result = as_dialler(connection, peer, gate).await;
    if let Err(error) = &result {
        let (code, reason) = match error {
            DialError::NotAdmitted { reason, .. } => (CloseCode::Refused, reason.as_str()),
            _ => (CloseCode::Misbehaved, "no greeting of a member"),
        };
        close(connection, code, reason);
    }
    result
}

async fn as_dialler(
    connection: &Connection,
    peer: NodeId,
    gate: &dyn Gate,
) -> Result<Incarnation, DialError> {
    let broken = |source: FrameError| match connection.close_reason() {
        Some(error @ quinn::ConnectionError::ApplicationClosed(_)) => DialError::Refused {
            node: peer,
            reason: last_words(&error),
        },
        _ => DialError::Greeting { node: peer, source },
    };
    let hello = Greeting::Hello(Box::new(gate.hello(Some(peer)).await));
    let answer = timeout(VERDICT, async {
        let (mut send, mut recv) = connection
            .open_bi()
            .await
            .map_err(|error| FrameError::Io(error.into()))?;
        say(&mut send, &hello).await?;
        let answer: Greeting = expect_frame(&mut recv, LIMIT).await?;
        Ok((send, answer))
    });
    let (mut send, answer) = match answer.await {
        Ok(answer) => answer.map_err(broken)?,
        Err(_) => {
            return Err(DialError::Silent {
                address: connection.remote_address(),
                limit: VERDICT,
            });
        }
    };
    let theirs = match answer {
        Greeting::Hello(hello) => hello,
        Greeting::Refused { reason } => {
            return Err(DialError::Refused {
                node: peer,
                reason: shorten(&reason, REASON).to_owned(),
            });
        }
        Greeting::Admitted => {
            return Err(broken(FrameError::Io(std::io::ErrorKind::InvalidData.into())));
        }
    };
    let incarnation = theirs.incarnation;
    if let Err(reason) = gate.admit(peer, *theirs).await {
        refuse(&mut send, &reason).await;
        return Err(DialError::NotAdmitted { node: peer, reason });
    }
    say(&mut send, &Greeting::Admitted).await.map_err(broken)?;
    send.shutdown()
        .await
        .map_err(|error| broken(FrameError::Io(error)))?;
    Ok(incarnation)
}

/// Greets as the listener, whose stranger has until `deadline`; an error says why it did not come to a connection.
pub(crate) async fn listener(
    connection: &Connection,
    peer: NodeId,
    gate: &dyn Gate,
    deadline: Instant,
) -> Result<Incarnation, String> {
    let first = timeout_at(deadline, async {
        let (send, mut recv): (SendStream, RecvStream) = connection
            .accept_bi()
            .await
            .map_err(|error| FrameError::Io(error.into()))?;
        let greeting: Greeting = expect_frame(&mut recv, LIMIT).await?;
        Ok::<_, FrameError>((send, recv, greeting))
    });
    let (mut send, mut recv, greeting) = first
        .await
        .map_err(|_| "it said nothing in time")?
        .map_err(|error| error.to_string())?;
    let Greeting::Hello(theirs) = greeting else {
        return Err("its first word is no hello".into());
    };
    let incarnation = theirs.incarnation;
    if let Err(reason) = gate.admit(peer, *theirs).await {
        refuse(&mut send, &reason).await;
        return Err(reason);
    }
    let hello = Greeting::Hello(Box::new(gate.hello(Some(peer)).await));
    let verdict = timeout(VERDICT, async {
        say(&mut send, &hello).await?;
        expect_frame::<Greeting>(&mut recv, LIMIT).await
    });
    match verdict
        .await
        .map_err(|_| "it did not say whether it accepts this node")?
    {
        Ok(Greeting::Admitted) => Ok(incarnation),
        Ok(Greeting::Refused { reason }) => Err(format!(
            "it does not accept this node: {}",
            shorten(&reason, REASON)
        )),
        Ok(Greeting::Hello(_)) => Err("it said hello twice".into()),
        Err(error) => Err(error.to_string()),
    }
}

async fn say(send: &mut SendStream, greeting: &Greeting) -> Result<(), FrameError> {
    let frame = encode_frame(greeting, LIMIT)?;
    Ok(AsyncWriteExt::write_all(send, &frame).await?)
}

/// Says no and waits until it was heard, or a moment: the close that follows would overtake it.
async fn refuse(send: &mut SendStream, reason: &str) {
    let refusal = Greeting::Refused {
        reason: shorten(reason, REASON).to_owned(),
    };
    let _unheard = timeout(REFUSAL, async {
        if say(send, &refusal).await.is_ok() && send.finish().is_ok() {
            let _gone = send.stopped().await;
        }
    })
    .await;
}
