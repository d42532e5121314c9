//! The UDP socket below QUIC: both families where the kernel has them, and buffers that a burst of packets fits into.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

/// Kernel buffers, in bytes; the kernel grants what `net.core.rmem_max` allows. Smaller ones lose packets in bursts.
const BUFFER: usize = 4 << 20;

/// Opens the socket. `[::]` takes IPv4 as well, and becomes `0.0.0.0` on a kernel without IPv6.
pub(crate) fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    match open_one(address) {
        Err(error)
            if address.is_ipv6()
                && address.ip().is_unspecified()
                && error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) =>
        {
            open_one(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        result => result,
    }
}

fn open_one(address: SocketAddr) -> io::Result<UdpSocket> {
    let family = if address.is_ipv6() {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    sockopt::set_socket_recv_buffer_size(&socket, BUFFER)?;
    sockopt::set_socket_send_buffer_size(&socket, BUFFER)?;
    bind(&socket, &address)?;
    Ok(UdpSocket::from(socket))
}
