//! A node without listeners, for the tests of what is inside.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::auth::Authenticator;
use crate::config::Config;
use crate::engine::clock::Clock;
use crate::engine::memory::{MemoryEngine, MemorySettings};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::protocol::up::{self, LinkUp, Up};
use crate::session::input::{ConnId, ConnKind, Input};
use crate::telemetry::labels::Carrier;
use crate::telemetry::metrics::Metrics;

use super::driver::Driver;
use super::link::{Flow, LinkPort};
use super::open::{self, Opener};
use super::{Gateway, pump};

/// A bound on hanging and no measure of speed.
pub(crate) const WITHIN: Duration = Duration::from_mins(1);

/// What comes of it. A test that hangs says what did not come.
pub(crate) async fn in_time<T>(what: &str, comes: impl Future<Output = T>) -> T {
    let came = timeout(WITHIN, comes).await;
    came.unwrap_or_else(|_| panic!("not within {WITHIN:?}: {what}"))
}

const CONFIG: &str = r#"
    [auth]
    anonymous = true
    origins = ["https://app.example"]
    anonymous_capabilities = { "*" = ["subscribe", "publish", "presence", "history"] }
    [namespaces.chat]
    history = { size = 100, age = "1h" }
    presence = "members"
    publish = "members"
"#;

/// A node on the embedded engine, whose clock is given, with one shard that runs.
pub(crate) fn node(clock: Clock) -> Arc<Gateway> {
    let config: Arc<Config> = Arc::new(toml::from_str(CONFIG).unwrap());
    let (sender, deliveries) = mpsc::channel(16);
    let engine = MemoryEngine::with_clock(&MemorySettings::default(), sender, clock);
    let (auth, metrics) = (Authenticator::new(&config).unwrap(), Arc::new(Metrics::default()));
    let (gateway, shards) = Gateway::new(config, engine, auth, metrics, None, 1);
    for shard in shards {
        tokio::spawn(shard.run());
    }
    tokio::spawn(pump::run(Arc::clone(&gateway), deliveries));
    gateway
}

/// What a connection does with each frame that is written to it.
pub(crate) type OnFrame = Box<dyn Fn(&str) + Send + Sync>;

/// A connection that shows what is written to it.
pub(crate) struct Port {
    on_frame: OnFrame,
    written: mpsc::UnboundedSender<String>,
    closed: Mutex<Option<(ErrorCode, bool)>>,
}

impl LinkPort for Port {
    fn carrier(&self) -> Carrier {
        Carrier::WebSocket
    }

    fn write(&self, frames: &[Frame]) -> Flow {
        for frame in frames {
            let text = String::from_utf8(frame.json().to_vec()).unwrap();
            (self.on_frame)(&text);
            let _ = self.written.send(text);
        }
        Flow::Open
    }

    fn answer(&self, _frames: Vec<Frame>) {}

    fn close(&self, refusal: Option<&Refusal>, ended: bool) {
        *self.closed.lock() = refusal.map(|refusal| (refusal.code, ended));
    }
}

impl Port {
    /// What it was closed with, and whether the session was over.
    pub(crate) fn closed(&self) -> Option<(ErrorCode, bool)> {
        *self.closed.lock()
    }
}

/// A session on such a connection.
pub(crate) struct Opened {
    pub(crate) driver: Arc<Driver>,
    conn: ConnId,
    port: Arc<Port>,
    read: mpsc::UnboundedReceiver<String>,
}

impl Opened {
    /// Opens one that reads `chat:1`.
    pub(crate) fn new(gateway: &Arc<Gateway>, on_frame: OnFrame) -> Self {
        let open = r#"{"l":"open","v":1,"ack":false,"subs":[{"ch":"chat:1"}]}"#;
        let Ok(Up::Link(LinkUp::Open(head))) = up::parse(open) else { panic!("it opens") };
        let (written, read) = mpsc::unbounded_channel();
        let port = Arc::new(Port { on_frame, written, closed: Mutex::default() });
        let (conn, to) = (gateway.next_conn(), Arc::clone(&port));
        let opener = Opener { conn, nonce: "n", kind: ConnKind::Push, bearer: None, port: to };
        let (driver, _) = open::begin(gateway, opener, *head, None).unwrap();
        Self { driver, conn, port, read }
    }

    /// One more connection of the session, which has said nothing.
    pub(crate) fn connects(&self, gateway: &Gateway) -> Arc<Port> {
        let (written, _) = mpsc::unbounded_channel();
        let port = Arc::new(Port { on_frame: Box::new(|_| {}), written, closed: Mutex::default() });
        self.driver.connect(gateway.next_conn(), "m", Arc::clone(&port) as Arc<dyn LinkPort>);
        port
    }

    /// Sends a session frame.
    pub(crate) fn say(&self, frame: &str) {
        let Ok(Up::Session(numbered)) = up::parse(frame) else { panic!("{frame}") };
        self.driver.up(self.conn, numbered);
    }

    /// Says that the session ends, with its last words.
    pub(crate) fn closes(&self) {
        self.driver.last_words(self.conn, Input::End { why: ErrorCode::Closed.into() });
    }

    /// Reads until a frame that holds this text.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let comes = async {
            loop {
                let frame = self.read.recv().await.unwrap();
                if frame.contains(text) {
                    return frame;
                }
            }
        };
        in_time(text, comes).await
    }

    /// What the connection was closed with, and whether the session was over.
    pub(crate) fn closed(&self) -> Option<(ErrorCode, bool)> {
        self.port.closed()
    }
}
