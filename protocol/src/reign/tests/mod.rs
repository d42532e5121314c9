//! One rule, one test; outputs are compared as lists, because their order is what the driver obeys.

mod claiming;
mod granting;
mod kit;
mod leading;
mod proving;
mod relaying;
mod settling;
