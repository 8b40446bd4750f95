//! What an operator sees: logs, metrics, and the clocks that both are dated by.

pub mod clock;
pub mod labels;
pub mod logging;
pub mod metrics;
pub mod seconds;
