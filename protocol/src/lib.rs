//! The language of a pacmesh and the decisions of its nodes.
//!
//! Nothing here owns a socket, a clock, a file or a runtime: time and randomness are arguments, and what should
//! happen comes back as an ordered list of outputs. Anything that a peer may send is a type here with a stated bound.
//!
//! * words: [`ids`], [`names`], [`roles`], [`signed`], [`codec`]
//! * what is said: [`wire`], [`entry`], [`work`], [`membership::NodeRecord`], [`reign::document`], [`ledger::record`]
//! * what is decided: [`membership`], [`reign`], [`ledger`], [`heal`], [`schedule`], [`copies`]

pub mod codec;
pub mod copies;
pub mod entry;
pub mod heal;
pub mod ids;
pub mod ledger;
pub mod machine;
pub mod membership;
pub mod names;
pub mod reign;
pub mod roles;
pub mod schedule;
pub mod signed;

pub mod wire;
pub mod work;
