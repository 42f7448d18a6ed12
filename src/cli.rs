//! The commands.

/// `modosu crds`.
pub mod crds;
