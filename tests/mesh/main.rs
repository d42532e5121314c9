//! Whole-system tests: real nodes, real makepkg, real pacman. Each file is one concern, each test one behaviour.
//!
//! Needs the pacmesh binary (`cargo build -p pacmesh`, or `PACMESH_BIN`), the tools that `tests/run.sh` installs, and
//! root for network namespaces.

mod backup;
mod bad_input;
mod building;
mod busy;
mod door;
mod entry;
mod farm;
mod flat;
mod heal;
mod keeping;
mod lan;
mod relay;
mod steady;
mod survival;
mod take_over;
mod torture;
mod trust;
mod walls;
