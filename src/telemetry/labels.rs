//! Labels of metrics: enums only. A label whose value a client chooses would be a series without
//! end.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

use crate::protocol::error::ErrorCode;
use crate::protocol::position::GapReason;

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$value_doc])* $value,)*
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$value,)*];

            /// As it is written.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)*
                }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, to: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
                EncodeLabelValue::encode(&self.as_str(), to)
            }
        }
    };
}

label! {
    /// What carries a session now.
    Carrier {
        /// A WebSocket.
        WebSocket = "websocket",
        /// A stream of lines.
        Stream = "stream",
        /// A stream of Server-Sent Events.
        Sse = "sse",
        /// Polls.
        Poll = "poll",
        /// Nothing: the session waits for its client.
        Detached = "detached",
    }
}

label! {
    /// What a request is for.
    Kind {
        /// `…/ws`.
        WebSocket = "ws",
        /// `…/s`.
        Stream = "s",
        /// `…/e`.
        Sse = "e",
        /// `…/x`.
        Exchange = "x",
        /// The plain feed.
        Feed = "feed",
        /// The application's API.
        Api = "api",
        /// The operator's endpoints.
        Admin = "admin",
        /// The client and the demo page.
        Asset = "asset",
        /// Anything else.
        Other = "other",
    }
}

label! {
    /// The class of a status (RFC 9110 section 15).
    StatusClass {
        /// 1xx.
        Informational = "1xx",
        /// 2xx.
        Successful = "2xx",
        /// 3xx.
        Redirection = "3xx",
        /// 4xx.
        ClientError = "4xx",
        /// 5xx, and whatever is none of these.
        ServerError = "5xx",
    }
}

impl StatusClass {
    /// The class of a status.
    pub fn of(status: u16) -> Self {
        match status {
            100..=199 => Self::Informational,
            200..=299 => Self::Successful,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

label! {
    /// Why a connection was refused before a request was read.
    Refused {
        /// The node has `limits.connections`.
        Full = "full",
        /// The head was not there in time.
        HeadTimeout = "head_timeout",
        /// The TLS handshake was not done in time.
        TlsTimeout = "tls_timeout",
        /// The TLS handshake failed.
        TlsFailed = "tls_failed",
        /// More control frames of HTTP/2 came than `limits` allow for.
        HttpFlood = "http2_flood",
        /// The node is going away.
        Draining = "draining",
    }
}

label! {
    /// What came of reading a certificate and its key again.
    CertificateRead {
        /// They are in force.
        Ok = "ok",
        /// A file cannot be read.
        Unreadable = "tls_unreadable",
        /// There is no certificate, or none that can be parsed.
        NoCertificate = "tls_no_certificate",
        /// There is no private key, or none that can be parsed.
        NoKey = "tls_no_key",
        /// The key is not the certificate's.
        Mismatch = "tls_mismatch",
    }
}

/// By what carries a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByCarrier {
    /// What carries it.
    pub transport: Carrier,
}

/// By kind of request and class of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByRequest {
    /// What it was for.
    pub kind: Kind,
    /// How it was answered.
    pub status: StatusClass,
}

/// By code of the one table of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByCode {
    /// The code.
    pub code: Code,
}

/// By reason of a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByGap {
    /// The reason.
    pub reason: Gap,
}

/// By reason of a refused connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByRefused {
    /// The reason.
    pub reason: Refused,
}

/// By what came of reading a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByCertificateRead {
    /// What came of it.
    pub result: CertificateRead,
}

/// A code as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(pub ErrorCode);

impl EncodeLabelValue for Code {
    fn encode(&self, to: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.0.as_str(), to)
    }
}

/// A gap's reason as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gap(pub GapReason);

impl EncodeLabelValue for Gap {
    fn encode(&self, to: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let reason = match self.0 {
            GapReason::Epoch => "epoch",
            GapReason::Trimmed => "trimmed",
            GapReason::Ahead => "ahead",
            GapReason::Tag => "tag",
        };
        EncodeLabelValue::encode(&reason, to)
    }
}
