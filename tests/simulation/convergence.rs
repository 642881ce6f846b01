//! Seeded: whatever goes wrong on the way, the same end.
