//! The sessions of one user, wherever they are: who and since when from the engine, how they are
//! connected from the nodes that have them.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};

use crate::engine::types::{Incarnation, NodeStatus, PresenceState, Seat};
use crate::protocol::channel::Channel;
use crate::protocol::error::{ErrorCode, Refusal};

use super::Gateway;
use super::peers::{self, Answer, Peer, Question};
use super::subscribe::engine_refusal;

/// How long a node may take to say how its sessions are connected.
const ASK_WITHIN: Duration = Duration::from_secs(1);
/// Nodes that are asked at once.
const ASKED_AT_ONCE: usize = 16;
/// Sessions that a node describes at most.
const DESCRIBED_MAX: usize = 1000;

/// How a session is connected, as its node says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connected {
    /// Its member id.
    pub member: String,
    /// What carries it: `websocket`, `stream`, `sse`, `poll`, or `detached` while nothing does.
    pub transport: String,
    /// Whether its page is watched.
    pub visible: bool,
}

/// Where a session is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AtNode {
    /// The start of the node.
    pub incarnation: String,
    /// Where other nodes reach it, if they can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// One session of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserSession {
    /// Its member id.
    pub member: String,
    /// The node that has it, or had it last.
    pub node: AtNode,
    /// When it came, in milliseconds since the Unix epoch.
    pub since: u64,
    /// Online or away.
    pub state: PresenceState,
    /// What carries it, where its node could be asked and has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// Whether its page is watched, where its node could be asked and has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visible: Option<bool>,
}

/// The sessions of a user: those that presence lists, the oldest first, at most 1000.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UserSessions {
    /// Each of them.
    pub sessions: Vec<UserSession>,
    /// Incarnations that could not be asked how theirs are connected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<String>,
}

/// What a node said.
struct Asked {
    address: Option<String>,
    connected: Option<Vec<Connected>>,
}

/// The sessions of a user.
/// # Errors
/// `bad_channel` for a name that is no user's, and those of the engine.
pub async fn of_user(gateway: &Gateway, user: &str) -> Result<UserSessions, Refusal> {
    let own = Channel::of_user(user).map_err(|_| ErrorCode::BadChannel)?;
    let seats = gateway.engine.seats(&own).await.map_err(|error| engine_refusal(&error))?;
    let mut nodes: Vec<Incarnation> = Vec::new();
    for seat in &seats {
        if !nodes.contains(&seat.incarnation) {
            nodes.push(seat.incarnation.clone());
        }
    }
    let asked: HashMap<_, _> = futures::stream::iter(nodes)
        .map(|node| async {
            let asked = ask(gateway, &node, user).await;
            (node, asked)
        })
        .buffer_unordered(ASKED_AT_ONCE)
        .collect()
        .await;
    let silent = asked.iter().filter(|(_, asked)| asked.connected.is_none());
    let mut unreachable: Vec<_> = silent.map(|(node, _)| node.0.to_string()).collect();
    unreachable.sort_unstable();
    let mut sessions: Vec<_> = seats.iter().map(|seat| described(&asked, seat)).collect();
    sessions.sort_unstable_by(|a, b| (a.since, &a.member).cmp(&(b.since, &b.member)));
    Ok(UserSessions { sessions, unreachable })
}

fn described(asked: &HashMap<Incarnation, Asked>, seat: &Seat) -> UserSession {
    let node = asked.get(&seat.incarnation);
    let theirs = node.and_then(|node| node.connected.as_deref()).unwrap_or_default();
    let connected = theirs.iter().find(|one| one.member == *seat.id.0);
    UserSession {
        member: seat.id.0.to_string(),
        node: AtNode {
            incarnation: seat.incarnation.0.to_string(),
            address: node.and_then(|node| node.address.clone()),
        },
        since: seat.since,
        state: seat.state,
        transport: connected.map(|one| one.transport.clone()),
        visible: connected.map(|one| one.visible),
    }
}

/// Asks the node of an incarnation, if it lives.
async fn ask(gateway: &Gateway, node: &Incarnation, user: &str) -> Asked {
    if *node == gateway.incarnation() {
        let address = gateway.peers.as_ref().map(|peers| peers.address.to_string());
        return Asked { address, connected: Some(here(gateway, user)) };
    }
    let Ok(NodeStatus::Alive { address }) = peers::status(gateway, node).await else {
        return Asked { address: None, connected: None };
    };
    let told = address.as_deref().map(str::to_owned);
    let peer = Peer { incarnation: node.clone(), address };
    let connected = match &gateway.peers {
        Some(peers) => {
            let question = Question::Sessions(user.to_owned());
            match peers.ask(&peer, &question, ASK_WITHIN).await {
                Ok(Answer::Sessions(connected)) => Some(connected),
                Ok(_) | Err(_) => None,
            }
        }
        None => None,
    };
    Asked { address: told, connected }
}

/// How those that are here are connected.
pub(super) fn here(gateway: &Gateway, user: &str) -> Vec<Connected> {
    let sessions = gateway.users.of(user).into_iter().take(DESCRIBED_MAX);
    let drivers = sessions.filter_map(|session| gateway.registry.get(session));
    drivers
        .filter(|driver| !driver.feed)
        .map(|driver| {
            let (carrier, visible) = driver.carried();
            let (member, transport) = (driver.member.0.to_string(), carrier.as_str().to_owned());
            Connected { member, transport, visible }
        })
        .collect()
}
