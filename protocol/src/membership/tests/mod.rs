//! Each rule of the membership, on virtual time: one machine, and a script that answers for all others.

mod bench;
mod liveness;
mod records;
mod trust;
