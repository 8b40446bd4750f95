//! A TCP shim between a client and the servers: it cuts, stalls, delays and splits what passes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::redis::messages::Lossy;
use super::server::Servers;

/// How connections end that are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// With an orderly end (FIN).
    Fin,
    /// At once (RST).
    Rst,
}

/// What happens to what passes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Nothing passes to the client.
    pub stall_down: bool,
    /// Nothing passes to the server.
    pub stall_up: bool,
    /// How long each piece is held.
    pub delay: Duration,
    /// How much longer each piece is held at most, as the dice say.
    pub jitter: Duration,
    /// How many bytes are written at once at most; 0 for no bound.
    pub split: usize,
    /// How many bytes pass in a second, each way of each connection; 0 for no bound.
    pub bytes_per_second: usize,
    /// Whether new connections are reset at once.
    pub refuse: bool,
    /// Whether what a new connection sends, if it is a POST, goes to one of the servers once more.
    pub repeat: bool,
    /// Of so many messages that a Redis server broadcasts on a new connection one is lost, as the
    /// dice say; 0 for none.
    pub loses_one_of: u32,
}

impl Weather {
    /// How long a piece of so many bytes is held.
    fn holds(&self, bytes: usize) -> Duration {
        let jitter = self.jitter.mul_f64(rand::random());
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let rate = u32::try_from(self.bytes_per_second).unwrap_or(u32::MAX);
        let throttle = (Duration::from_secs(1) * bytes).checked_div(rate).unwrap_or_default();
        self.delay + jitter + throttle
    }
}

#[derive(Clone, Copy, Default)]
struct State {
    weather: Weather,
    /// Rises with each cut.
    cuts: u64,
    hard: bool,
    /// How many connections came.
    came: u64,
    /// On so many of them, the first, nothing passes.
    frozen: u64,
}

/// A shim: connections are carried until it is dropped.
pub struct Shim {
    /// Where a client connects.
    pub address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    lost: Arc<AtomicU64>,
    accepts: AbortHandle,
}

impl Shim {
    /// Before the servers; each connection goes to one at random.
    pub async fn before(servers: &Servers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(watch::Sender::new(State::default()));
        let (servers, changes) = (servers.clone(), Arc::clone(&state));
        let lost = Arc::default();
        let counts = Arc::clone(&lost);
        let accepts = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if changes.borrow().weather.refuse {
                    let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
                    continue;
                }
                let mut place = 0;
                changes.send_modify(|state| (place, state.came) = (state.came, state.came + 1));
                let Weather { repeat, loses_one_of, .. } = changes.borrow().weather;
                let again = repeat.then(|| servers.pick());
                let lossy =
                    (loses_one_of > 0).then(|| Lossy::new(loses_one_of, Arc::clone(&counts)));
                let way = (client, servers.pick());
                tokio::spawn(carry(way, again, lossy, place, changes.subscribe()));
            }
        });
        Self { address, state, lost, accepts: accepts.abort_handle() }
    }

    /// Before one server, of whatever kind.
    pub async fn to(address: SocketAddr) -> Self {
        Self::before(&Servers::of(&[address])).await
    }

    /// Changes what happens to what passes.
    pub fn weather(&self, weather: Weather) {
        self.state.send_modify(|state| state.weather = weather);
    }

    /// How many messages were lost as the weather has it.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// From here on nothing passes on the connections there are, as where a cable is pulled: new ones
    /// are not touched.
    pub fn freeze(&self) {
        self.state.send_modify(|state| state.frozen = state.came);
    }

    /// What was held on them passes after all.
    pub fn thaw(&self) {
        self.state.send_modify(|state| state.frozen = 0);
    }

    /// Cuts every connection there is.
    pub fn cut(&self, how: Cut) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.hard = how == Cut::Rst;
        });
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        self.accepts.abort();
        self.cut(Cut::Fin);
    }
}

async fn carry(
    (client, to): (TcpStream, SocketAddr),
    again: Option<SocketAddr>,
    lossy: Option<Lossy>,
    place: u64,
    mut changes: watch::Receiver<State>,
) {
    let Ok(server) = TcpStream::connect(to).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let again = match again {
        Some(to) if is_post(&client).await => Some(repeat(to)),
        _ => None,
    };
    let before = changes.borrow().cuts;
    let (down, up) = (changes.clone(), changes.clone());
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let stalls_up = move |state: &State| state.weather.stall_up || place < state.frozen;
    let stalls_down = move |state: &State| state.weather.stall_down || place < state.frozen;
    let upward = pass(client_reads, server_writes, (again, None), up, stalls_up);
    let downward = pass(server_reads, client_writes, (None, lossy), down, stalls_down);
    let both = async { tokio::join!(upward, downward) };
    // What the wait returns borrows the state, which the halves read when they end.
    let cut = async { drop(changes.wait_for(|state| state.cuts > before).await) };
    tokio::select! {
        _ = both => {}
        () = cut => {}
    }
}

async fn is_post(client: &TcpStream) -> bool {
    let mut first = [0; 4];
    matches!(client.peek(&mut first).await, Ok(4)) && first == *b"POST"
}

/// A second connection, on which what is sent here goes too; its answer is not read by anyone.
fn repeat(to: SocketAddr) -> mpsc::UnboundedSender<Vec<u8>> {
    let (sender, mut pieces) = mpsc::unbounded_channel::<Vec<u8>>();
    tokio::spawn(async move {
        let Ok(server) = TcpStream::connect(to).await else { return };
        let (mut reads, mut writes) = server.into_split();
        let sends = async move {
            while let Some(piece) = pieces.recv().await {
                if writes.write_all(&piece).await.is_err() {
                    break;
                }
            }
        };
        let mut nowhere = tokio::io::sink();
        let _ = tokio::join!(sends, tokio::io::copy(&mut reads, &mut nowhere));
    });
    sender
}

async fn pass(
    mut from: OwnedReadHalf,
    to: OwnedWriteHalf,
    (again, mut lossy): (Option<mpsc::UnboundedSender<Vec<u8>>>, Option<Lossy>),
    mut changes: watch::Receiver<State>,
    stalls: impl Fn(&State) -> bool,
) -> io::Result<()> {
    let mut guard = Ends { to, changes: changes.clone(), before: changes.borrow().cuts };
    let mut buffer = vec![0; 32 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if changes.wait_for(|state| !stalls(state)).await.is_err() || read == 0 {
            return guard.to.shutdown().await;
        }
        let weather = changes.borrow().weather;
        let (held, split) = (weather.holds(read), weather.split);
        if !held.is_zero() {
            tokio::time::sleep(held).await;
        }
        let kept = lossy.as_mut().map(|lossy| lossy.pass(&buffer[..read]));
        let passes = kept.as_deref().unwrap_or(&buffer[..read]);
        let split = if split == 0 { read } else { split };
        for piece in passes.chunks(split) {
            guard.to.write_all(piece).await?;
        }
        if let Some(again) = &again {
            let _ = again.send(buffer[..read].to_vec());
        }
    }
}

/// Ends a half: with a reset where the cut was a hard one.
struct Ends {
    to: OwnedWriteHalf,
    changes: watch::Receiver<State>,
    before: u64,
}

impl Drop for Ends {
    fn drop(&mut self) {
        let State { cuts, hard, .. } = *self.changes.borrow();
        if cuts > self.before && hard {
            let stream: &TcpStream = self.to.as_ref();
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}
