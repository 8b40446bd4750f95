//! What the scenarios share: a load of mixed transports over all nodes while something breaks, and
//! the verdict on what everyone saw.

pub mod load;
pub mod publishers;
pub mod stage;
pub mod table;
pub mod tracker;
