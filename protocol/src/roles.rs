//! What a member may do, as a set, and the presets that people type.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One thing that a member may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// May lead and administer.
    Master,
    /// May build.
    Worker,
    /// Keeps archives, signatures, source trees and logs.
    Storage,
    /// May submit.
    Client,
}

impl Role {
    /// Every role, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Master, Self::Worker, Self::Storage, Self::Client];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Worker => "worker",
            Self::Storage => "storage",
            Self::Client => "client",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of roles; one byte on the wire, unknown bits are kept and mean nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Roles(u8);

impl Roles {
    /// No role at all.
    pub const NONE: Self = Self(0);
    /// The preset of an ordinary machine: all four roles.
    pub const PEER: Self = Self(0b1111);
    /// The preset of a machine that only builds.
    pub const GUEST: Self = Self(Role::Worker.bit());
    /// The preset of a machine that only keeps archives.
    pub const STORAGE: Self = Self(Role::Storage.bit());
    /// The preset of a machine that only submits.
    pub const CLIENT: Self = Self(Role::Client.bit());

    /// The set of these roles.
    pub fn of(roles: impl IntoIterator<Item = Role>) -> Self {
        Self(roles.into_iter().fold(0, |bits, role| bits | role.bit()))
    }

    /// Whether `role` is in the set.
    pub const fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether all of `self` is in `other`.
    pub const fn within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// What both sets have.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// How many known roles are in the set.
    pub fn count(self) -> usize {
        self.iter().count()
    }

    /// The roles, in the order of [`Role::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }

    /// Builds, and nothing else.
    pub const fn is_guest(self) -> bool {
        self.has(Role::Worker)
            && !self.has(Role::Master)
            && !self.has(Role::Storage)
            && !self.has(Role::Client)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Role::name).collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roles({self})")
    }
}

/// A word that is no preset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a preset: use peer, guest, storage or client")]
pub struct UnknownPreset(String);

impl FromStr for Roles {
    type Err = UnknownPreset;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "peer" => Ok(Self::PEER),
            "guest" => Ok(Self::GUEST),
            "storage" => Ok(Self::STORAGE),
            "client" => Ok(Self::CLIENT),
            other => Err(UnknownPreset(other.chars().take(40).collect())),
        }
    }
}
