//! Pools of ranks.

pub(crate) mod rank;
