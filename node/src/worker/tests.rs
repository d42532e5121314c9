//! Real makepkg in the real sandbox. Every test runs the runner as a process of its own: this test binary again.

mod kit;

mod building;
mod lifetime;
mod probing;
mod walls;
