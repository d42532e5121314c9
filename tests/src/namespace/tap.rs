//! TAP devices: a network interface on one side, a file of Ethernet frames on the other.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
};

use rustix::{
    fs::OFlags,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

/// `TUNSETIFF` (linux/if_tun.h).
const TUNSETIFF: rustix::ioctl::Opcode = rustix::ioctl::opcode::write::<i32>(b'T', 202);
/// `IFF_TAP | IFF_NO_PI`: whole frames, and nothing before them.
const FLAGS: u16 = 0x0002 | 0x1000;
/// `IFNAMSIZ`.
const NAME: usize = 16;

/// What `TUNSETIFF` takes: the start of a `struct ifreq` (netdevice(7)), padded to its length.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; NAME],
    flags: u16,
    rest: [u8; 22],
}

/// Makes the device `name` in a network namespace; it lives as long as the file. The calling thread stays in that
/// namespace, so it should be one that nothing else runs on.
pub(super) fn open(namespace: &str, name: &str) -> io::Result<File> {
    let entrance = File::open(format!("/run/netns/{namespace}"))?;
    move_into_link_name_space(entrance.as_fd(), Some(LinkNameSpaceType::Network))?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open("/dev/net/tun")?;
    let mut request = InterfaceRequest {
        name: [0; NAME],
        flags: FLAGS,
        rest: [0; 22],
    };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    attach(&file, request)?;
    Ok(file)
}

#[expect(
    unsafe_code,
    reason = "the kernel has no other way to name a TAP device, and no safe crate here wraps it"
)]
fn attach(file: &File, request: InterfaceRequest) -> io::Result<()> {
    // SAFETY: TUNSETIFF reads a struct ifreq, whose layout and length the type has, and writes nothing beyond it.
    let setter = unsafe { rustix::ioctl::Setter::<TUNSETIFF, InterfaceRequest>::new(request) };
    // SAFETY: the request lives until the call returns, and the file is the device that knows this request.
    unsafe { rustix::ioctl::ioctl(file.as_fd(), setter) }?;
    Ok(())
}
