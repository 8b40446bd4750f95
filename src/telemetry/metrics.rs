//! Metrics: one struct of typed handles, made once, shared by all, encoded as `OpenMetrics` text.
//!
//! Incrementing a plain counter is one atomic addition; a labelled one takes a read lock and is for
//! what happens less often than a frame.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::protocol::error::ErrorCode;
use crate::protocol::position::GapReason;

use super::labels::{
    ByCarrier, ByCertificateRead, ByCode, ByGap, ByRefused, ByRequest, Carrier, CertificateRead,
    Code, Gap, Kind, Refused, StatusClass,
};
use super::seconds::Seconds;

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

macro_rules! metrics {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $name:literal $([$unit:ident])?, $help:literal;)*) => {
        /// Every metric of the node.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $($(#[$doc])* pub $field: $type,)*
        }

        impl Default for Metrics {
            fn default() -> Self {
                let mut registry = Registry::with_prefix("throughline");
                $(
                    let $field = <$type>::default();
                    register!(registry, $name, $help, $field $(, $unit)?);
                )*
                Self { registry, $($field,)* }
            }
        }
    };
}

macro_rules! register {
    ($registry:ident, $name:literal, $help:literal, $field:ident) => {
        $registry.register($name, $help, $field.clone())
    };
    ($registry:ident, $name:literal, $help:literal, $field:ident, $unit:ident) => {
        $registry.register_with_unit($name, $help, Unit::$unit, $field.clone())
    };
}

metrics! {
    /// Sessions of this node, by what carries them.
    sessions: Family<ByCarrier, Gauge> = "sessions", "Sessions of this node, by what carries them";
    /// Sessions that were opened.
    sessions_opened: Counter = "sessions_opened", "Sessions that were opened";
    /// Sessions that were refused, by code.
    sessions_refused: Family<ByCode, Counter> = "sessions_refused", "Sessions refused, by code";
    /// Sessions that ended, by the code they ended with.
    sessions_closed: Family<ByCode, Counter> = "sessions_closed", "Sessions that ended, by code";
    /// Links that took a session, by transport.
    links: Family<ByCarrier, Counter> = "links", "Links that took a session, by transport";
    /// Session frames that were applied.
    frames_up: Counter = "frames_up", "Session frames applied";
    /// Events put into the mailboxes of sessions.
    deliveries: Counter = "deliveries", "Events put into the mailboxes of sessions";
    /// Events that were published through this node.
    events_published: Counter = "events_published", "Events published through this node";
    /// Publishes that were refused, by code.
    publishes_refused: Family<ByCode, Counter> = "publishes_refused", "Publishes refused, by code";
    /// How long publishes took, whatever came of them.
    publish_took: Seconds = "publish" [Seconds], "How long publishes took until they were answered";
    /// HTTP requests, by kind and class of the answer's status.
    http_requests: Family<ByRequest, Counter> = "http_requests", "HTTP requests, by kind and class of status";
    /// Subscriptions that an outbox at its bound, or a hole, sent back to the log.
    behind: Counter = "subscriptions_behind", "Subscriptions sent back to the log by an outbox at its bound";
    /// Ephemeral events that were not delivered, and told as `skipped`.
    skipped: Counter = "events_skipped", "Ephemeral events not delivered, told as skipped";
    /// Gaps told to readers, by reason.
    gaps: Family<ByGap, Counter> = "gaps", "Gaps told to readers, by reason";
    /// Tickets of another node's incarnation.
    foreign_tickets: Counter = "foreign_tickets", "Tickets sealed by another incarnation";
    /// Exchanges that another node answered.
    exchanges_relayed: Counter = "exchanges_relayed", "Exchanges that the node of their session answered";
    /// Connections that wait for a session of another node.
    candidates: Gauge = "candidates", "Connections that wait here for a session of another node";
    /// Sessions that this node parked for others.
    sessions_parked: Counter = "sessions_parked", "Sessions that left this node for another";
    /// Sessions that came from other nodes.
    sessions_taken: Counter = "sessions_taken", "Sessions that came to this node from another";
    /// Sessions whose member goes on after their node was lost.
    sessions_rebuilt: Counter = "sessions_rebuilt", "Sessions opened in the place of one whose node was lost";
    /// Times that this node's lease had lapsed, which cost it its sessions.
    leases_lost: Counter = "leases_lost", "Times that this node was paused past its lease and let its sessions go";
    /// Tokens that were refused, by code.
    tokens_refused: Family<ByCode, Counter> = "tokens_refused", "Tokens refused, by code";
    /// Panics, each of which ended one session, connection or request.
    panics: Counter = "panics", "Panics, each of which ended one session, connection or request";
    /// Connections ended with `flood`.
    floods: Counter = "floods", "Connections ended because they sent too fast or did not read their answers";
    /// Connections that are open.
    connections: Gauge = "connections", "Connections that are open";
    /// Connections refused before a request was read, by reason.
    connections_refused: Family<ByRefused, Counter> = "connections_refused", "Connections refused before a request was read, by reason";
    /// Certificates that were read again, by what came of it.
    certificates_read: Family<ByCertificateRead, Counter> = "certificates_read", "Certificates that were read again because they changed, by result";
    /// Whether the engine could be reached when it was last looked at: 1 or 0.
    engine_up: Gauge<u64, AtomicU64> = "engine_up", "Whether the engine can be reached: 1 or 0";
    /// Bytes of all logs and states of the embedded engine.
    engine_log_bytes: Gauge<u64, AtomicU64> = "engine_log" [Bytes], "All logs and states of the embedded engine";
    /// Channels that the embedded engine knows, or that this node hears of Redis.
    engine_channels: Gauge<u64, AtomicU64> = "engine_channels", "Channels the embedded engine knows, or this node hears of Redis";
    /// Messages that came to this node over the backplane, since it started.
    backplane_received: Gauge<u64, AtomicU64> = "backplane_received", "Messages that came over the backplane since the start";
    /// Breaks of a link to the backplane after which positions were checked, since it started.
    backplane_breaks: Gauge<u64, AtomicU64> = "backplane_breaks", "Breaks of a link to the backplane since the start";
}

impl Metrics {
    /// A session is carried by something else: `None` before it opens, and after it ends.
    pub fn carried(&self, before: Option<Carrier>, after: Option<Carrier>) {
        if let Some(transport) = before {
            self.sessions.get_or_create(&ByCarrier { transport }).dec();
        }
        if let Some(transport) = after {
            self.sessions.get_or_create(&ByCarrier { transport }).inc();
        }
    }

    /// A link took a session.
    pub fn linked(&self, transport: Carrier) {
        self.links.get_or_create(&ByCarrier { transport }).inc();
    }

    /// A session was refused.
    pub fn session_refused(&self, code: ErrorCode) {
        self.sessions_refused.get_or_create(&ByCode { code: Code(code) }).inc();
    }

    /// A session ended.
    pub fn closed(&self, code: ErrorCode) {
        self.sessions_closed.get_or_create(&ByCode { code: Code(code) }).inc();
    }

    /// A publish was refused.
    pub fn publish_refused(&self, code: ErrorCode) {
        self.publishes_refused.get_or_create(&ByCode { code: Code(code) }).inc();
    }

    /// A token was refused.
    pub fn token_refused(&self, code: ErrorCode) {
        self.tokens_refused.get_or_create(&ByCode { code: Code(code) }).inc();
    }

    /// A request was answered.
    pub fn answered(&self, kind: Kind, status: u16) {
        let status = StatusClass::of(status);
        self.http_requests.get_or_create(&ByRequest { kind, status }).inc();
    }

    /// A reader was told of a gap.
    pub fn gap(&self, reason: GapReason) {
        self.gaps.get_or_create(&ByGap { reason: Gap(reason) }).inc();
    }

    /// A connection was refused before a request was read.
    pub fn connection_refused(&self, reason: Refused) {
        self.connections_refused.get_or_create(&ByRefused { reason }).inc();
    }

    /// A certificate was read again.
    pub fn certificate_read(&self, result: CertificateRead) {
        self.certificates_read.get_or_create(&ByCertificateRead { result }).inc();
    }

    /// All of them as `OpenMetrics` 1.0 text, of [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut to = String::new();
        if let Err(error) = text::encode(&mut to, &self.registry) {
            tracing::error!(%error, "metrics could not be encoded");
        }
        to
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn writes_openmetrics_with_enum_labels() {
        let metrics = Metrics::default();
        metrics.carried(None, Some(Carrier::Detached));
        metrics.carried(Some(Carrier::Detached), Some(Carrier::WebSocket));
        metrics.answered(Kind::Exchange, 200);
        metrics.publish_refused(ErrorCode::Forbidden);
        metrics.gap(GapReason::Trimmed);
        metrics.engine_log_bytes.set(42);
        metrics.publish_took.took(Duration::from_millis(1500));
        let text = metrics.encode();
        for line in [
            "throughline_sessions{transport=\"websocket\"} 1",
            "throughline_sessions{transport=\"detached\"} 0",
            "throughline_http_requests_total{kind=\"x\",status=\"2xx\"} 1",
            "throughline_publishes_refused_total{code=\"forbidden\"} 1",
            "throughline_publish_seconds_bucket{le=\"1.0\"} 0",
            "throughline_publish_seconds_bucket{le=\"2.0\"} 1",
            "throughline_publish_seconds_count 1",
            "throughline_gaps_total{reason=\"trimmed\"} 1",
            "throughline_engine_log_bytes 42",
            "throughline_sessions_opened_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"), "OpenMetrics 1.0 section 3.1");
    }

    #[test]
    fn every_label_together_makes_fewer_series_than_two_thousand() {
        let codes = ErrorCode::ALL.len() * 4;
        let requests = Kind::ALL.len() * StatusClass::ALL.len();
        assert!(codes + requests + Carrier::ALL.len() * 2 + Refused::ALL.len() + 40 < 2000);
    }
}
